"""Finished trials in a folder, so that an interrupted comparison continues where it was."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from counterpoint import tables
from counterpoint.config import Config
from counterpoint.errors import DataError
from counterpoint.trial_data import TrialData
from counterpoint.trials import Trial

DIGITS = 16


def key(method: str, data: TrialData, content_sha256: str, settings: Config, **more: Any) -> str:
    """Identify what a trial depends on, apart from the code.

    Args:
        method: Its name.
        data: Split and judged fold count, the folder's place does not.
        content_sha256: Of the tables.
        settings: Sections ``features``, ``train`` and ``evaluate`` count.
        more: Anything else, JSON-ready.
    """
    sections = settings.model_dump(mode="json", include={"features", "train", "evaluate"})
    facts = {
        "method": method,
        "data": content_sha256,
        **{name: v for name, v in asdict(data).items() if name not in ("folder", "split")},
        "split": data.split.model_dump(mode="json"),
        "settings": sections,
        **more,
    }
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


@dataclass(frozen=True)
class TrialStore:
    """One JSON file per trial, named by its key.

    Attributes:
        folder: Created when the first trial is kept.
        reuse: Whether trials that are already there count; False measures everything anew.
    """

    folder: Path
    reuse: bool = True

    def obtain(self, name: str, run: Callable[[], Trial]) -> Trial:
        """Return the kept trial of this key, or run it and keep it.

        Raises:
            DataError: The file of the trial cannot be read.
        """
        path = self.folder / f"{name}.json"
        if self.reuse and path.is_file():
            return _read(path)
        trial = run()
        tables.write_json(path, asdict(trial) | {"primary": trial.primary.tolist()})
        return trial

    def has(self, name: str) -> bool:
        """Whether ``obtain`` would not have to run."""
        return self.reuse and (self.folder / f"{name}.json").is_file()


def _read(path: Path) -> Trial:
    try:
        content = tables.read_json(path)
        vector = np.array(content.pop("primary"), dtype=np.float64)
        return Trial(**content, primary=vector)
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{path} is no finished trial of this version ({error}). Delete it; it is run again."
        ) from error
