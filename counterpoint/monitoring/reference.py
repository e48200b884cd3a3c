"""The reference snapshot: what the champion was trained and judged on, stored with its version.

======================  ==========================================================================
file                    content
======================  ==========================================================================
``reference.json``      span, counts, share of positives, quality with its interval, calibration
``events.parquet``      all events of a sample of users (pseudonymous), to compare windows with
``attributes.parquet``  attribute tokens of the sampled users
``items.parquet``       items seen: id, events, attributes, text vector if the model keeps one
``users.parquet``       pseudonyms of all users seen
``quality.parquet``     per test user: targets, NDCG, top-k list, scores, hits
``probes.parquet``      histories of a few test users with the champion's lists
======================  ==========================================================================
"""

import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from counterpoint import artifacts, columns, tables
from counterpoint.errors import DataError

SUMMARY = "reference.json"
EVENTS = "events.parquet"
ATTRIBUTES = "attributes.parquet"
ITEMS = "items.parquet"
USERS = "users.parquet"
QUALITY = "quality.parquet"
PROBES = "probes.parquet"

FORMAT = 1
VECTOR = "vector"
N_EVENTS = "events"


@dataclass(frozen=True)
class Reference:
    """A snapshot in memory.

    Attributes:
        summary: Content of ``reference.json``.
        events: Sampled events, schema ``SAMPLE``.
        attributes: user (pseudonym), attributes.
        items: item, events, attributes and, if the model keeps text vectors, vector.
        users: Pseudonyms of all users.
        quality: Table of ``quality.realised`` without user ids, or none without a test fold.
        probes: Histories and lists, or none.
    """

    summary: dict[str, Any]
    events: pl.DataFrame
    attributes: pl.DataFrame
    items: pl.DataFrame
    users: pl.Series
    quality: pl.DataFrame | None
    probes: pl.DataFrame | None

    @property
    def start(self) -> datetime:
        """First instant of the reference."""
        return datetime.fromisoformat(self.summary["start"])

    @property
    def end(self) -> datetime:
        """Last instant of the reference."""
        return datetime.fromisoformat(self.summary["end"])


def save(reference: Reference, folder: Path) -> None:
    """Write the snapshot; the folder appears complete or not at all.

    Raises:
        DataError: The folder exists already and is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(
            f"{folder} exists and is not empty. A reference is written once, with its version: "
            "choose another folder."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        scratch.chmod(0o755)
        reference.events.write_parquet(scratch / EVENTS)
        reference.attributes.write_parquet(scratch / ATTRIBUTES)
        reference.items.write_parquet(scratch / ITEMS)
        reference.users.to_frame(columns.USER).write_parquet(scratch / USERS)
        if reference.quality is not None:
            reference.quality.write_parquet(scratch / QUALITY)
        if reference.probes is not None:
            reference.probes.write_parquet(scratch / PROBES)
        tables.write_json(scratch / SUMMARY, reference.summary)
        scratch.replace(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def load(folder: Path) -> Reference:
    """Read a snapshot.

    Raises:
        DataError: A file is missing or the snapshot is of another format.
    """
    missing = [
        name
        for name in (SUMMARY, EVENTS, ATTRIBUTES, ITEMS, USERS)
        if not (folder / name).is_file()
    ]
    if missing:
        raise DataError(
            f"{folder} lacks {', '.join(missing)}, so it is no reference snapshot. It is the "
            f"folder `{artifacts.REFERENCE}/` of a version in the registry, written at deployment."
        )
    summary = tables.read_json(folder / SUMMARY)
    if summary.get("format") != FORMAT:
        raise DataError(
            f"{folder} has the format {summary.get('format')!r}; this version reads {FORMAT}. "
            "Deploy the model again to write a new reference."
        )

    def optional(name: str) -> pl.DataFrame | None:
        return pl.read_parquet(folder / name) if (folder / name).is_file() else None

    return Reference(
        summary,
        pl.read_parquet(folder / EVENTS),
        pl.read_parquet(folder / ATTRIBUTES),
        pl.read_parquet(folder / ITEMS),
        pl.read_parquet(folder / USERS)[columns.USER],
        optional(QUALITY),
        optional(PROBES),
    )
