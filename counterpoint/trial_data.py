"""The data of a trial: where they are, how they are split and which fold is judged."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from counterpoint import artifacts, columns, evaluation, splits, tables, withheld_items
from counterpoint.config import Config, SplitConfig
from counterpoint.errors import DataError
from counterpoint.histories import order_events
from counterpoint.stages import ingest, validate
from counterpoint.tables import Tables

DEVELOPMENT_ITEMS = 100
"""Added to the seed of withheld items for development, so that those of the test stay unseen."""


@dataclass(frozen=True)
class TrialData:
    """Small enough to be sent to another process, which reads the tables itself.

    Attributes:
        folder: Canonical tables, or a folder of the features stage.
        split: How to split; where the folder's interactions have folds already, these count and
            ``split`` only divides what is left when ``fold`` is ``valid``.
        fold: ``test``: the final verdict. ``valid``: for development. The test fold is then left
            out altogether, the validation fold takes its place, and the training fold gives up its
            own last part as validation, so that nothing is judged on what it was chosen by.
    """

    folder: Path
    split: SplitConfig
    fold: splits.Fold = "test"

    def read(self) -> Tables:
        """The tables, with folds such that ``test`` is the judged one.

        Raises:
            DataError: A table is missing, or a fold would be empty.
        """
        known = tables.read(self.folder)
        interactions = known.interactions
        if columns.FOLD not in interactions.columns:
            interactions = splits.assign(
                order_events(interactions, seed=self.split.seed), self.split
            )
        if self.fold == "valid":
            interactions = development(interactions, self.split)
        return Tables(interactions, known.items, known.users)

    def task(self, known: Tables, item_ids: list[str]) -> evaluation.Task:
        """The judged fold of tables from ``read`` as an evaluation."""
        return evaluation.prepare(known.interactions, known.items, known.users, item_ids=item_ids)

    def validation_task(self, known: Tables, item_ids: list[str]) -> evaluation.Task | None:
        """The fold to choose by; None where it has no targets."""
        try:
            return evaluation.prepare(
                known.interactions, known.items, known.users, item_ids=item_ids, fold="valid"
            )
        except DataError:
            return None


def development(interactions: pl.DataFrame, split: SplitConfig) -> pl.DataFrame:
    """Move every fold one place back: validation becomes test, the end of train validation.

    Where the protocol withholds items, others are withheld of what is left.

    Args:
        interactions: Ordered interactions with ``fold``.
        split: Protocol and size of the new validation fold.

    Returns:
        The same rows without those of the test folds, in the same order.
    """
    fold = pl.col(columns.FOLD)
    if split.protocol in withheld_items.PROTOCOLS:
        left = withheld_items.visible(interactions).filter(fold.is_in(splits.FITS["final"]))
        other = split.model_copy(update={"item_seed": split.item_seed + DEVELOPMENT_ITEMS})
        return splits.assign(left.drop(columns.FOLD, columns.HELD_OUT), other)
    train = interactions.filter(fold == splits.TRAIN).drop(columns.FOLD)
    inner = splits.assign(train, split.model_copy(update={"test_fraction": 0.0}))
    judged = interactions.filter(fold.str.starts_with("valid_")).with_columns(
        fold.str.replace("^valid_", "test_")
    )
    return pl.concat([inner, judged]).sort(columns.USER, columns.TIMESTAMP)


def of_features(folder: Path, *, fold: splits.Fold) -> TrialData:
    """Describe a folder of the features stage: its folds count.

    Raises:
        DataError: The stage has not finished there.
    """
    described = folder / artifacts.FEATURES
    if not described.is_file():
        raise DataError(
            f"{folder} has no {artifacts.FEATURES}: it is no folder of the stage features, or that "
            "stage has not finished. Run it first."
        )
    split = tables.read_json(described)["config"]["split"]
    return TrialData(folder, SplitConfig.model_validate(split), fold)


def read_source(settings: Config, folder: Path) -> Path:
    """Read and validate the configured source; return the folder of its canonical tables.

    Args:
        settings: Sections ``ingest`` and ``validation``.
        folder: Where to write, anew each time.

    Raises:
        CounterpointError: As the stages ingest and validate do.
    """
    ingest.run(settings.ingest, dataset=folder / "dataset")
    validate.run(settings.validation, dataset=folder / "dataset", validated=folder / "tables")
    return folder / "tables"
