"""CSV, JSON-lines and Parquet files as lazy tables; lines that cannot be parsed are kept apart."""

import codecs
import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import Field, field_validator

from counterpoint.config.base import Section
from counterpoint.datasets._json_lines import BAD, stage_lines
from counterpoint.datasets._staging import (
    REJECTED,
    MixedLineEndsError,
    decode,
    head,
    stage_csv,
)
from counterpoint.errors import DataError

Format = Literal["csv", "jsonl", "parquet"]
EXTENSIONS: dict[str, Format] = {
    **dict.fromkeys((".csv", ".tsv", ".txt", ".data", ".dat", ".inter", ".item", ".user"), "csv"),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "jsonl"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
}


class FileConfig(Section):
    """One table as one or several files of equal columns."""

    path: str | tuple[str, ...]
    """File, list of files, or a pattern such as ``events/*.csv.gz``."""

    format: Literal["auto", "csv", "jsonl", "parquet"] = "auto"
    """``auto`` goes by the extension (``.gz`` may follow)."""

    separator: str | None = Field(default=None, min_length=1, max_length=4)
    """Between the fields of a CSV line; none: found in the header: comma, tab, semicolon, bar."""

    quote: str = Field(default='"', max_length=1)
    """Quoting character of CSV fields; empty: quotes are ordinary characters."""

    encoding: str = "utf-8"
    """Of text files: any Python codec, such as ``latin-1``, ``cp1252``, ``utf-16``, ``gbk``."""

    header: tuple[str, ...] | None = None
    """Column names of a CSV file that has no header line."""

    keep: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Keys to read of JSON-lines files; none: all. Long texts that are left out save time and
    disk."""

    null_values: tuple[str, ...] = ("NA", "N/A", "null", "NULL", "None", "NaN", "nan", "\\N")
    """Texts that mean "missing" in ids, numbers, timestamps and attributes, besides empty ones."""

    @field_validator("encoding")
    @classmethod
    def _known_codec(cls, value: str) -> str:
        try:
            return codecs.lookup(value).name
        except LookupError:
            raise ValueError(f"{value!r} is not a known encoding; try latin-1 or cp1252") from None


@dataclass(frozen=True)
class RawTable:
    """A file as read: every data row is either in ``rows`` or in ``rejected``.

    Attributes:
        label: Name for messages.
        columns: Source column names.
        rows: Lazy rows in file order; text formats have text columns only.
        rejected: Unparsable lines: ``raw`` (JSON text) and ``reason``.
        json: Nested values are JSON text (JSON-lines files).
    """

    label: str
    columns: list[str]
    rows: pl.LazyFrame
    rejected: pl.DataFrame
    json: bool


def scan(config: FileConfig, *, folder: Path, staging: Path) -> RawTable:
    """Open the files of one table.

    Args:
        config: Where and how.
        folder: Relative paths start here.
        staging: Folder for the intermediate Parquet files; must outlive the returned table.

    Raises:
        DataError: A file is missing, empty, of the wrong format or encoding, or has a bad header.
    """
    paths = _expand(config, folder)
    staging.mkdir(parents=True, exist_ok=True)
    parts = [_scan_one(path, config, staging / f"{n}.parquet") for n, path in enumerate(paths)]
    first = parts[0]
    for path, part in zip(paths, parts, strict=True):
        if part.columns != first.columns:
            raise DataError(
                f"{path.name} has the columns {', '.join(part.columns)} but {paths[0].name} has "
                f"{', '.join(first.columns)}. Files of one table must have equal columns."
            )
    table = RawTable(
        first.label if len(parts) == 1 else f"{first.label} … {parts[-1].label}",
        first.columns,
        pl.concat([part.rows for part in parts], how="vertical_relaxed"),
        pl.concat([part.rejected for part in parts]),
        first.json,
    )
    return _without_empty(table) if config.keep and first.json else table


def _without_empty(table: RawTable) -> RawTable:
    """Drop the asked-for keys that no object has."""
    filled = table.rows.select(pl.all().is_not_null().any()).collect(engine="streaming")
    columns = [name for name in table.columns if filled[name].item()]
    if not columns:
        raise DataError(
            f"{table.label} holds no JSON object with any of {', '.join(table.columns)}; write one "
            "JSON object per line and correct `keep`."
        )
    return dataclasses.replace(table, columns=columns, rows=table.rows.select(columns))


def _expand(config: FileConfig, folder: Path) -> list[Path]:
    found: list[Path] = []
    for text in [config.path] if isinstance(config.path, str) else config.path:
        path = folder / Path(text).expanduser()
        if any(sign in text for sign in "*?[") and not path.exists():
            matches = sorted(Path(path.anchor or ".").glob(str(path.relative_to(path.anchor))))
            if not matches:
                raise DataError(f"No file matches {path}. Correct the pattern or the folder.")
            found += matches
        else:
            found.append(path)
    for path in found:
        if path.is_dir():
            raise DataError(f"{path} is a folder; give a file in it, or a pattern: {path}/*.csv.")
        if not path.exists():
            near = path.parent if path.parent.is_dir() else None
            beside = ", ".join(sorted(p.name for p in near.iterdir())[:8]) if near else ""
            hint = f"The folder holds: {beside}." if near else "Its folder does not exist either."
            raise DataError(f"File {path} does not exist. {hint} Correct the path.")
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty (0 bytes). It needs a header line and data rows.")
    return found


def _format(path: Path, config: FileConfig) -> Format:
    magic = head(path, 4, unpack=False)
    if config.format != "auto":
        kind: Format = config.format
    else:
        suffix = Path(path.stem if path.suffix == ".gz" else path.name).suffix.lower()
        if suffix not in EXTENSIONS:
            raise DataError(
                f"{path.name} has the extension {suffix or 'none'!r}; known: "
                f"{', '.join(EXTENSIONS)} (and .gz of the text formats). "
                "Convert the file or set `format` to csv, jsonl or parquet."
            )
        kind = EXTENSIONS[suffix]
    if (magic == b"PAR1") != (kind == "parquet"):
        held = "Parquet data" if magic == b"PAR1" else "no Parquet data"
        raise DataError(f"{path.name} is read as {kind} but holds {held}. Set `format`.")
    return kind


def _scan_one(path: Path, config: FileConfig, stage: Path) -> RawTable:
    kind = _format(path, config)
    if kind == "parquet":
        try:
            frame = pl.scan_parquet(path)
            columns = frame.collect_schema().names()
        except pl.exceptions.PolarsError as error:
            raise DataError(f"{path} is not a readable Parquet file: {error}.") from error
        return RawTable(path.name, columns, frame, REJECTED.to_frame(), json=False)
    copy = stage.with_suffix(".txt")
    text = decode(path, config.encoding, copy=copy)
    if kind == "jsonl":
        columns, rejected = stage_lines(text, stage, keep=config.keep)
    else:
        stage_rows = partial(
            stage_csv,
            stage=stage,
            separator=config.separator,
            quote=config.quote,
            header=config.header,
        )
        try:
            columns, rejected = stage_rows(text)
        except MixedLineEndsError:
            text = decode(path, config.encoding, copy=copy, unify=True)
            columns, rejected = stage_rows(text)
    staged = pl.scan_parquet(stage)
    if kind == "jsonl":
        staged = staged.filter(pl.col(BAD).is_null()).drop(BAD)
    rows = staged.rename({f"c{n}": name for n, name in enumerate(columns)})
    return RawTable(path.name, columns, rows, rejected, json=kind == "jsonl")
