"""Training alone: interaction and item files in, a model folder out.

The stages ingest, validate, features and train in one process, without feature store, registry or
test fold; the validation split lies inside.
"""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from counterpoint import artifacts
from counterpoint.config import Config
from counterpoint.errors import ValidationFailure
from counterpoint.point_in_time import PlainFeatures
from counterpoint.stages import features, ingest, train, validate

DATA = "data"
"""Folder inside the model: what was read, what was rejected and why."""


@dataclass(frozen=True)
class FitResult:
    """Key figures.

    Attributes:
        figures: Figures of the stages.
        notes: Choices of the model, for people.
    """

    figures: dict[str, Any]
    notes: str


def run(config: Config, *, model: Path) -> FitResult:
    """Read, validate and train.

    Args:
        config: ``ingest`` names the files; ``features.split`` the validation split.
        model: Folder to write; replaced only when everything went well.

    Raises:
        ValidationFailure: The data broke the rules; report and quarantine are kept in
            ``<model>.rejected``.
        CounterpointError: As the other stages do.
    """
    model.parent.mkdir(parents=True, exist_ok=True)
    split = config.features.split.model_copy(update={"test_fraction": 0.0})
    settings = config.features.model_copy(update={"split": split})
    with tempfile.TemporaryDirectory(prefix=f".{model.name}.", dir=model.parent) as scratch:
        folder = Path(scratch)
        read = ingest.run(config.ingest, dataset=folder / "dataset")
        try:
            checked = validate.run(
                config.validation, dataset=folder / "dataset", validated=folder / "validated"
            )
        except ValidationFailure as failure:
            kept = model.with_name(f"{model.name}.rejected")
            replace_folder(folder / "validated", kept)
            told = str(failure).replace(str(folder / "validated"), str(kept))
            raise ValidationFailure(told) from None
        drawn = features.run(
            settings,
            validated=folder / "validated",
            features=folder / "features",
            open_source=lambda tables: PlainFeatures(tables, settings.history_length),
        )
        trained = train.run(config.train, features=folder / "features", model=folder / "model")
        kept = folder / "model" / DATA
        kept.mkdir()
        for name in (artifacts.DATASET, artifacts.VALIDATION_VERDICT):
            shutil.copyfile(folder / "validated" / name, kept / name)
        shutil.copytree(folder / "validated" / artifacts.QUARANTINE, kept / artifacts.QUARANTINE)
        replace_folder(folder / "model", model)
    figures = read.figures | checked.figures | drawn.figures | trained.figures
    return FitResult(figures, trained.notes)


def replace_folder(new: Path, old: Path) -> None:
    """Put a finished folder in place of an older one, which is removed only afterwards."""
    if old.exists():
        aside = new.with_name("replaced")
        old.rename(aside)
    new.rename(old)
