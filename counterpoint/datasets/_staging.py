"""CSV files -> Parquet files of text columns, through DuckDB.

DuckDB streams, and names every line it cannot parse, where polars' reader drops or pads ragged
ones: so a bad line costs neither the file nor the knowledge of what was in it.
"""

import codecs
import csv
import gzip
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import duckdb
import polars as pl

from counterpoint.errors import DataError

SEPARATORS = ",\t;|"
HEAD_BYTES = 1 << 18
MAX_LINE_BYTES = 1 << 24
GZIP = b"\x1f\x8b"

REJECTED = pl.Schema({"raw": pl.String(), "reason": pl.String()})
"""Unparsable lines: their text as JSON, and what is wrong."""


def head(path: Path, size: int, *, unpack: bool = True) -> bytes:
    """Return the first bytes of a file, unpacked if it is a gzip file.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            packed = unpack and file.read(2) == GZIP
            file.seek(0)
            return gzip.open(file).read(size) if packed else file.read(size)
    except (OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error


@dataclass(frozen=True)
class Text:
    """A text file that is UTF-8 by now.

    Attributes:
        path: The user's file, for messages.
        utf8: What to read: the same file or its UTF-8 copy.
    """

    path: Path
    utf8: Path


class MixedLineEndsError(DataError):
    """Lines end in different ways, as in files put together on several systems."""


def decode(path: Path, encoding: str, *, copy: Path, unify: bool = False) -> Text:
    """Return the file itself, or a UTF-8 copy when it has another encoding.

    Args:
        path: The user's file.
        encoding: Its encoding.
        copy: Where a copy goes.
        unify: Make all lines end in a newline.

    Raises:
        DataError: The file does not have this encoding.
    """
    if encoding == "utf-8" and not unify:
        return Text(path, path)
    ends = None if unify else ""
    opened = gzip.open if head(path, 2, unpack=False) == GZIP else open
    try:
        with (
            cast(IO[str], opened(path, "rt", encoding=encoding, newline=ends)) as source,
            copy.open("w", encoding="utf-8", newline="") as sink,
        ):
            while block := source.read(HEAD_BYTES):
                sink.write(block)
    except (UnicodeError, EOFError, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path.name} cannot be decoded as {encoding}: {error}. Set another `encoding`."
        ) from error
    return Text(path, copy)


def stage_csv(
    text: Text, stage: Path, *, separator: str | None, quote: str, header: Sequence[str] | None
) -> tuple[list[str], pl.DataFrame]:
    """Write a CSV file's rows to ``stage`` as text columns ``c0``, ``c1``, ….

    Returns:
        Column names, and the rejected lines (``REJECTED``).

    Raises:
        DataError: Not UTF-8, a bad header, or a quote that is never closed.
        MixedLineEndsError: ``decode`` the file again with ``unify``.
    """
    first, separator = _first_record(text, separator, quote)
    if header and len(header) != len(first):
        raise DataError(
            f"{text.path.name}: `header` names {len(header)} columns but the first line has "
            f"{len(first)} fields: {first}."
        )
    columns = list(header or _named(first, text.path))
    source = reader(
        text,
        columns=dict.fromkeys((f"c{n}" for n in range(len(columns))), "VARCHAR"),
        header=header is None,
        delim=separator,
        quote=quote,
        escape=quote,
        strict_mode=True,
    )
    with duckdb.connect() as connection:
        copy_to(connection, f"SELECT * FROM {source}", stage, text)
        faults = connection.execute(
            "SELECT line, any_value(error_type), any_value(error_message), any_value(csv_line) "
            "FROM reject_errors GROUP BY line ORDER BY line"
        ).fetchall()
    rows = []
    for line, kind, message, content in faults:
        if kind == "INVALID ENCODING":
            raise _not_utf8(text.path, f"line {line}")
        if kind == "UNQUOTED VALUE" and "\n" in content.rstrip("\r\n"):
            raise DataError(
                f"{text.path.name}, line {line}: a quote ({quote}) is opened and never closed. "
                "Mend the line, or set `quote` to '' if quotes are ordinary characters."
            )
        rows.append((json.dumps(content), f"line {line} unreadable: {message}"))
    return columns, pl.DataFrame(rows, schema=REJECTED, orient="row")


def _first_record(text: Text, separator: str | None, quote: str) -> tuple[list[str], str]:
    try:
        # The cut may fall into a character: an incremental decoder waits for the rest of it.
        content = codecs.getincrementaldecoder("utf-8-sig")().decode(head(text.utf8, HEAD_BYTES))
    except UnicodeDecodeError as error:
        raise _not_utf8(text.path, f"byte {error.start}") from None
    content = content.lstrip("\r\n")
    line = content.partition("\n")[0].rstrip("\r")
    if not line.strip():
        raise DataError(f"{text.path} holds only blank lines. It needs a header and data rows.")
    separator = separator or max(SEPARATORS, key=line.count)
    if len(separator) > 1 or not quote:
        return line.split(separator), separator
    rows = csv.reader(io.StringIO(content, newline=""), delimiter=separator, quotechar=quote)
    return next(rows), separator


def _named(header: Sequence[str], path: Path) -> list[str]:
    names = [name.strip() or f"column_{n}" for n, name in enumerate(header, 1)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"{path.name} has duplicate column names: {', '.join(twice)}. Rename one of each, or "
            "set `header` when the first line is data."
        )
    return names


def _not_utf8(path: Path, where: str) -> DataError:
    return DataError(
        f"{path.name} is not UTF-8 ({where}). Set `encoding` to the file's own, for example "
        "latin-1, cp1252, utf-16 or gbk."
    )


def copy_to(connection: duckdb.DuckDBPyConnection, query: str, stage: Path, text: Text) -> None:
    """Write the rows of a query to a Parquet file.

    Raises:
        DataError: The file cannot be read.
        MixedLineEndsError: ``decode`` it again with ``unify``.
    """
    try:
        connection.execute(f"COPY ({query}) TO {literal(str(stage))} (FORMAT parquet)")
    except duckdb.Error as error:
        raise unreadable(error, text) from error


def unreadable(error: duckdb.Error, text: Text) -> DataError:
    """Return what to raise for a fault that DuckDB finds in a file."""
    if "invalid state" in str(error):
        return MixedLineEndsError(f"{text.path} mixes line ends.")
    return DataError(f"{text.path} cannot be read: {str(error).splitlines()[0]}")


def reader(text: Text, **options: object) -> str:
    """Return the SQL that reads a text file with these options."""
    packed = head(text.utf8, 2, unpack=False) == GZIP
    arguments = {
        "auto_detect": False,
        "store_rejects": True,
        "max_line_size": MAX_LINE_BYTES,
        # DuckDB would take sixteen lines of the largest size, most of its memory for nothing.
        "buffer_size": 2 * MAX_LINE_BYTES,
        "compression": "gzip" if packed else "none",
        **options,
    }
    listed = ", ".join(f"{key} = {literal(value)}" for key, value in arguments.items())
    return f"read_csv({literal(str(text.utf8))}, {listed})"


def literal(value: object) -> str:
    """SQL literal of a text, flag, number or struct of texts."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, bool | int):
        return str(value).lower()
    return "'" + str(value).replace("'", "''") + "'"
