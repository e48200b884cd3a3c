"""Amazon Reviews of 2018 and 2023: JSON lines, ``.gz`` or plain; the release is told by its keys.

2018: J. Ni, J. Li and J. McAuley (2019), Justifying Recommendations Using Distantly-Labeled Reviews
and Fine-Grained Aspects, EMNLP. 2023: Y. Hou et al. (2024), Bridging Language and Items for
Retrieval and Recommendation, arXiv:2403.03952.

A product is described by the metadata file alone. Left out on purpose, as they would tell a model
about the time it is tested on: the texts of reviews, ``average_rating``, ``rating_number``, sales
``rank`` and the lists of products bought or viewed together, all gathered after many reviews were
written. The ``style`` of a review belongs to one purchase, not to the product.
"""

import dataclasses
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from counterpoint import columns
from counterpoint.config.base import Section
from counterpoint.datasets import tables
from counterpoint.datasets._amazon import METADATA_KEYS, RELEASES, Release, describe, keys_of
from counterpoint.datasets._source import Source
from counterpoint.datasets._tables_config import Positive
from counterpoint.errors import DataError

LICENCE = (
    "Amazon Reviews, McAuley Lab, UC San Diego: for research use. Cite: J. Ni, J. Li and "
    "J. McAuley (2019), EMNLP (2018 release); Y. Hou et al. (2024), arXiv:2403.03952 (2023)."
)
SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz")
Paths = str | tuple[str, ...]


class Config(Section):
    """Which files, and what counts as liked."""

    path: str | None = None
    """Folder with both files: those named ``meta_*`` hold the metadata, the others the reviews."""

    reviews: Paths | None = None
    """Reviews, in place of ``path``: a file, a list of files, or a pattern."""

    metadata: Paths | None = None
    """Metadata of the products; without it they have neither title nor text nor attributes."""

    name: str | None = None
    """Name of the data set in reports; none: after the reviews file."""

    min_rating: float = 4.0
    """Reviews with this many stars or more are positive."""

    positive: Positive | None = None
    """Another rule, in place of ``min_rating``."""

    unreviewed: bool = False
    """Keep products of the metadata that no review names. The metadata of a category list many
    times the products of its reviews; those could only be recommended by their text."""

    price_bins: tuple[float, ...] = Field(default=(10.0, 25.0, 50.0, 100.0), min_length=1)
    """Lower edges, in dollars, of the attribute ``price``."""

    @model_validator(mode="after")
    def _files_are_given(self) -> "Config":
        if (self.path is None) == (self.reviews is None) or (self.path and self.metadata):
            raise ValueError(
                "give either `path`, a folder with reviews and meta_* files, or `reviews` and, if "
                "you have it, `metadata`"
            )
        return self


def read(config: Config, *, cache: Path, staging: Path) -> Source:
    """Open reviews and, if given, metadata.

    Args:
        config: Files and positives.
        cache: Not used: nothing is fetched.
        staging: Folder for intermediate files; must outlive the returned lazy tables.

    Raises:
        DataError: A file is missing or its keys are those of neither release.
    """
    reviews, metadata = _files(config)
    release = _recognise(_first(reviews))
    positive = config.positive or Positive(min_value=config.min_rating)
    options: dict[str, Any] = {
        "name": config.name or f"amazon {_stem(_first(reviews))} ({release.name})",
        "interactions": {
            "path": reviews,
            "format": "jsonl",
            "columns": release.columns,
            "keep": tuple(release.columns.values()),
        },
        "positive": positive.model_dump(exclude_none=True),
        "event": "review",
        "licence": LICENCE,
    }
    if metadata:
        options["items"] = {
            "path": metadata,
            "format": "jsonl",
            "keep": METADATA_KEYS,
            "columns": {"item_id": _item_key(_first(metadata)), "title": "title", "text": "text"},
            "attributes": {
                "category": {},
                "department": {},
                "brand": {},
                "price": {"bins": config.price_bins},
            },
        }
    source = tables.read(
        tables.Config.model_validate(options),
        cache=cache,
        staging=staging,
        prepare={"items": describe},
    )
    return source if config.unreviewed or not metadata else _reviewed(source)


def _reviewed(source: Source) -> Source:
    named = source.interactions.select(columns.ITEM).unique()
    note = "Products that no review names are left out (`unreviewed: true` keeps them)."
    items = source.items.join(named, on=columns.ITEM, how="semi", maintain_order="left")
    return dataclasses.replace(source, items=items, notes=[*source.notes, note])


def _files(config: Config) -> tuple[Paths, Paths | None]:
    """Reviews and metadata, as given or found in the folder."""
    if config.reviews is not None:
        return config.reviews, config.metadata
    folder = Path(config.path or "").expanduser()
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder. Correct `path`, or name a file in `reviews`.")
    found = sorted(str(p) for p in folder.iterdir() if p.name.endswith(SUFFIXES) and p.is_file())
    metadata = tuple(path for path in found if Path(path).name.lower().startswith("meta"))
    reviews = tuple(path for path in found if path not in metadata)
    if not reviews:
        raise DataError(
            f"{folder} holds no reviews: no file ends in {', '.join(SUFFIXES)}, files named meta* "
            "apart. Correct `path`, or name the file in `reviews`."
        )
    return reviews, metadata or None


def _first(paths: Paths) -> Path:
    """The first file of a list or pattern."""
    text = paths if isinstance(paths, str) else paths[0]
    path = Path(text).expanduser().absolute()
    if path.is_file() or not any(sign in text for sign in "*?["):
        return path
    return min(Path(path.anchor).glob(str(path.relative_to(path.anchor))), default=path)


def _stem(path: Path) -> str:
    return path.name.partition(".json")[0]


def _recognise(path: Path) -> Release:
    keys = keys_of(path)
    for release in RELEASES:
        if {release.columns["user_id"], release.columns["item_id"]} <= keys:
            return release
    known = "; ".join(f"{', '.join(r.columns.values())} ({r.name})" for r in RELEASES)
    hint = " It looks like metadata: name it in `metadata`." if "title" in keys else ""
    raise DataError(
        f"{path.name} has the keys {', '.join(sorted(keys))}, but reviews have: {known}.{hint} "
        "Correct `reviews`, or read the file with `dataset: tables`."
    )


def _item_key(path: Path) -> str:
    keys = keys_of(path)
    if not keys & {"parent_asin", "asin"}:
        raise DataError(
            f"{path.name} has the keys {', '.join(sorted(keys))}, but metadata have asin (2018) or "
            "parent_asin (2023). Correct `metadata`."
        )
    return "parent_asin" if "parent_asin" in keys else "asin"
