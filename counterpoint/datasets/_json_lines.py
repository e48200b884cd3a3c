"""JSON-lines files -> Parquet files of text columns, through DuckDB."""

import json
from collections.abc import Sequence
from pathlib import Path

import duckdb
import polars as pl

from counterpoint.datasets._staging import (
    REJECTED,
    Text,
    copy_to,
    head,
    literal,
    reader,
    unreadable,
)
from counterpoint.errors import DataError

BAD = "bad_line"
"""Column of ``stage``: the text of a line that is no JSON object."""


def stage_lines(
    text: Text, stage: Path, *, keep: Sequence[str] | None
) -> tuple[list[str], pl.DataFrame]:
    """Write the objects of a JSON-lines file to ``stage`` as text columns ``c0``, ``c1``, ….

    Nested values become JSON text; text that could be taken for an array is put into one. Blank
    lines are no rows.

    Args:
        text: The file.
        stage: Parquet file to write.
        keep: Keys to read, whether an object has them or not; none: all there are, which takes a
            pass over the file to find.

    Returns:
        The keys, and the rejected lines (``REJECTED``). Their rows in ``stage`` have ``BAD`` set.

    Raises:
        DataError: Not UTF-8, or no object at all.
    """
    name = text.path.name
    if head(text.utf8, 64).lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"["):
        raise DataError(f"{name} is one JSON array; write one JSON object per line instead.")
    # A separator and a quote that occur in no text make each line one field.
    source = reader(text, columns={"line": "VARCHAR"}, header=False, delim="\x1f\x1e", quote="")
    valid = "CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' ELSE false END"
    # Reading the values of invalid lines fails, and WHERE alone does not promise the order.
    objects = f"SELECT line, CASE WHEN {valid} THEN line END AS object FROM {source}"
    objects = f"({objects} WHERE trim(line) <> '')"
    with duckdb.connect() as connection:
        keys = list(keep) if keep else _keys(connection, objects, text)
        paths = [literal(f"$.{json.dumps(key, ensure_ascii=False)}") for key in keys]
        names = ", ".join(f"{_flat(n, path)} AS c{n}" for n, path in enumerate(paths))
        listed = f"json_extract_string(object, [{', '.join(paths)}])"
        values = f"SELECT line, object, {listed} AS v FROM {objects}"
        bad = f"CASE WHEN object IS NULL THEN line END AS {BAD}"
        copy_to(connection, f"SELECT {names}, {bad} FROM ({values})", stage, text)
        _refuse_broken(connection, name)
    broken = pl.scan_parquet(stage).select(BAD).drop_nulls().collect(engine="streaming")[BAD]
    rows = [(json.dumps(line), "the line is no JSON object") for line in broken]
    return keys, pl.DataFrame(rows, schema=REJECTED, orient="row")


def _keys(connection: duckdb.DuckDBPyConnection, objects: str, text: Text) -> list[str]:
    """Return the keys of all objects, sorted."""
    try:
        found = connection.execute(f"SELECT DISTINCT unnest(json_keys(object)) FROM {objects}")
        keys = sorted(key for (key,) in found.fetchall())
    except duckdb.Error as error:
        raise unreadable(error, text) from error
    _refuse_broken(connection, text.path.name)
    if not keys:
        raise DataError(f"{text.path.name} holds no JSON object; write one JSON object per line.")
    return keys


def _refuse_broken(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Refuse a file with lines that DuckDB itself cannot read."""
    if broken := connection.execute("SELECT line, error_message FROM reject_errors").fetchone():
        raise DataError(f"{name}, line {broken[0]}: {broken[1]} Set `encoding` if it differs.")


def _flat(place: int, path: str) -> str:
    """SQL of one value: arrays as JSON arrays of texts, and text that starts like one inside one.

    So whatever starts with a bracket is a JSON array: ``[2 Pack] Soap`` is a common title.
    """
    value = f"v[{place + 1}]"
    elements = f"json_extract_string(object, {path[:-1]}[*]')"
    array = f"json_type(object, {path}) = 'ARRAY'"
    return (
        f"CASE WHEN starts_with({value}, '[') THEN CAST(to_json("
        f"CASE WHEN {array} THEN {elements} ELSE [{value}] END) AS VARCHAR) ELSE {value} END"
    )
