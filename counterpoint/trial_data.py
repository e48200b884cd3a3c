"""The data of a trial: where they are, how they are split and which fold is judged."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from counterpoint import columns, evaluation, splits, tables
from counterpoint.config import SplitConfig
from counterpoint.errors import DataError
from counterpoint.histories import order_events
from counterpoint.tables import Tables


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

    Args:
        interactions: Ordered interactions with ``fold``.
        split: Protocol and size of the new validation fold.

    Returns:
        The same rows without those of the test folds, in the same order.
    """
    fold = pl.col(columns.FOLD)
    train = interactions.filter(fold == splits.TRAIN).drop(columns.FOLD)
    inner = splits.assign(train, split.model_copy(update={"test_fraction": 0.0}))
    judged = interactions.filter(fold.str.starts_with("valid_")).with_columns(
        fold.str.replace("^valid_", "test_")
    )
    return pl.concat([inner, judged]).sort(columns.USER, columns.TIMESTAMP)
