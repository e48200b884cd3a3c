"""The three canonical tables of a data set as one value: reading, writing, hashing."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from counterpoint import artifacts, columns, vector_tables
from counterpoint.errors import DataError


@dataclass(frozen=True)
class Tables:
    """Interactions, items and users with the schemas of columns.py.

    Items and users may lack rows for ids that occur in the interactions.
    """

    interactions: pl.DataFrame
    items: pl.DataFrame
    users: pl.DataFrame


HASHED_ROWS = 1 << 17
HASHED_VECTORS = 1 << 12

FILES = {
    "interactions": (artifacts.INTERACTIONS, columns.INTERACTIONS),
    "items": (artifacts.ITEMS, columns.ITEMS),
    "users": (artifacts.USERS, columns.USERS),
}


def conform(frame: pl.DataFrame, schema: pl.Schema, *, table: str) -> pl.DataFrame:
    """Cast to the schema, filling absent columns with nulls and dropping unknown ones.

    Raises:
        DataError: A column has a type that cannot be cast.
    """
    absent = [pl.lit(None, dtype=t).alias(n) for n, t in schema.items() if n not in frame.columns]
    try:
        return frame.with_columns(absent).select(
            pl.col(name).cast(dtype) for name, dtype in schema.items()
        )
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"Table {table!r} does not fit its schema: {error}. Allowed columns and types: "
            f"{dict(schema)}. Mend the column map of the data set."
        ) from error


def write(tables: Tables, folder: Path) -> None:
    """Write the three tables as Parquet files with the names of artifacts.py."""
    folder.mkdir(parents=True, exist_ok=True)
    for table, (name, schema) in FILES.items():
        conform(getattr(tables, table), schema, table=table).write_parquet(folder / name)


def read(folder: Path) -> Tables:
    """Read the three tables from a folder.

    Raises:
        DataError: A file is missing.
    """
    missing = [name for name, _ in FILES.values() if not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"{folder} lacks {', '.join(missing)}. A data set folder holds "
            f"{', '.join(n for n, _ in FILES.values())}. Run the stage that writes it first."
        )
    return Tables(**{t: pl.read_parquet(folder / name) for t, (name, _) in FILES.items()})


def content_hash(tables: Tables | Path) -> str:
    """SHA-256 over the rows of all tables, independent of file format, compression and row groups.

    Args:
        tables: The tables, or the folder of their Parquet files, which are then read in slices so
            that memory stays bounded. Of a folder the vectors of its modalities count too.
    """
    digest = hashlib.sha256()
    for table, (name, schema) in FILES.items():
        digest.update(table.encode())
        whole = pl.scan_parquet(tables / name) if isinstance(tables, Path) else None
        frame = getattr(tables, table).lazy() if whole is None else whole
        for rows in frame.collect_batches(chunk_size=HASHED_ROWS, maintain_order=True):
            # One line a row, so the slices' borders leave no trace in the text.
            digest.update(conform(rows, schema, table=table).write_ndjson().encode())
    vectors = vector_tables.named(tables) if isinstance(tables, Path) else {}
    for name, file in vectors.items():
        digest.update(vector_tables.table(name).encode())
        whole = pl.scan_parquet(file)
        for rows in whole.collect_batches(chunk_size=HASHED_VECTORS, maintain_order=True):
            digest.update(rows.write_ndjson().encode())
    return digest.hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, with stable key order so that equal content gives equal files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.tmp")
    scratch.write_text(json.dumps(value, indent=2, sort_keys=True, default=str) + "\n", "utf-8")
    os.replace(scratch, path)


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text("utf-8"))
