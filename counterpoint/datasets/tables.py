"""Your own tables: CSV, JSON-lines or Parquet files and a column map (docs/data.md)."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import polars as pl

from counterpoint import columns
from counterpoint.datasets import _frames, _positive
from counterpoint.datasets._columns import COMMON_ATTRIBUTES, absent, find, resolve
from counterpoint.datasets._convert import Reader
from counterpoint.datasets._files import RawTable, scan
from counterpoint.datasets._source import Source, no_items, no_users
from counterpoint.datasets._tables_config import Attribute, Config, Described
from counterpoint.errors import DataError

__all__ = ["Config", "read"]

AGE_BINS = (18.0, 25.0, 35.0, 45.0, 50.0, 56.0)
"""The age groups of MovieLens 1M, used for a column of numbers named age."""

SEPARATORS: Mapping[str, str] = {
    "genre": "|;,", "category": "|;,", "tag": "|;,", "author": "|", "artist": "|"
}  # fmt: skip
"""Attributes that are often multi-valued -> the separators looked for, in this order."""

SAMPLE_ROWS = 10_000
REQUIRED = {
    "interactions": (columns.USER, columns.ITEM),
    "items": (columns.ITEM,),
    "users": (columns.USER,),
}


def read(
    config: Config,
    *,
    cache: Path,
    staging: Path,
    prepare: Mapping[str, Callable[[RawTable], RawTable]] | None = None,
) -> Source:
    """Open the files and map them to canonical tables.

    Args:
        config: Files, column map, positives.
        cache: Not used: nothing is fetched.
        staging: Folder for intermediate files; must outlive the returned lazy tables.
        prepare: Table -> a step that adds derived source columns (for data sets built on this one).

    Raises:
        DataError: Lists every fault of the files: missing, empty, unreadable, columns absent.
    """
    files = {"interactions": config.interactions, "items": config.items, "users": config.users}
    faults: list[str] = []
    readers: dict[str, Reader] = {}
    found: dict[str, dict[str, list[str]]] = {}
    attributes: dict[str, dict[str, Attribute]] = {"items": {}, "users": {}}
    for table, file in files.items():
        if file is None:
            continue
        try:
            raw = scan(file, folder=Path(config.folder).expanduser(), staging=staging / table)
        except DataError as error:
            faults.append(str(error))
            continue
        raw = (prepare or {}).get(table, lambda same: same)(raw)
        readers[table] = reader = Reader(raw, file.null_values)
        given = file.columns.model_dump()
        found[table], wrong = resolve(
            table, given, required=REQUIRED[table], label=raw.label, among=raw.columns
        )
        faults += wrong
        if isinstance(file, Described):
            attributes[table], wrong = _attributes(table, file, reader, found[table])
            faults += wrong
    if faults:
        raise DataError("\n".join(faults))
    return _assemble(config, readers, found, attributes)


def _timeless(reader: Reader, found: Mapping[str, Sequence[str]]) -> list[str]:
    """Note on a timestamp column without any timestamp, whose rows validation will refuse."""
    for column in found.get(columns.TIMESTAMP, ()):
        given = reader.raw.rows.select(reader.text(column).is_not_null().any())
        if not given.collect(engine="streaming").item():
            return [
                f"Column {column!r} of {reader.raw.label} is empty in every row. Name another, or "
                "set `columns: {timestamp: ''}` to let the order of the rows stand in for time."
            ]
    return []


def _assemble(
    config: Config,
    readers: Mapping[str, Reader],
    found: Mapping[str, dict[str, list[str]]],
    attributes: Mapping[str, Mapping[str, Attribute]],
) -> Source:
    used = found["interactions"]
    parts = {
        "interactions": _frames.interactions(
            readers["interactions"],
            used,
            form=config.interactions.timestamp_format,
            event=config.event,
        )
    }
    if "items" in readers:
        parts["items"] = _frames.items(readers["items"], found["items"], attributes["items"])
    if "users" in readers:
        parts["users"] = _frames.users(readers["users"], found["users"], attributes["users"])
    events = parts["interactions"].accepted
    value_column = used.get(columns.VALUE, [None])[0]
    rule = _positive.rule(config.positive, events, value_column)
    notes = [_mapped(table, readers[table].raw.label, found[table]) for table in readers]
    if rule.note:
        notes.append(rule.note)
    notes += _timeless(readers["interactions"], used)
    timed = columns.TIMESTAMP in used
    if not timed:
        notes.append("There is no timestamp column: the order of the rows stands in for time.")
    return Source(
        name=config.name,
        origin=", ".join(reader.raw.label for reader in readers.values()),
        interactions=events.with_columns(rule.expression.alias(columns.POSITIVE)),
        items=parts["items"].accepted if "items" in parts else no_items(),
        users=parts["users"].accepted if "users" in parts else no_users(),
        rejected=pl.concat([part.rejected for part in parts.values()]),
        positive=rule.text,
        positive_rule=rule.fields,
        has_timestamps=timed,
        licence=config.licence,
        attributes={
            "user": {name: rule.spec for name, rule in attributes["users"].items()},
            "item": {name: rule.spec for name, rule in attributes["items"].items()},
        },
        notes=notes,
    )


def _mapped(table: str, label: str, found: Mapping[str, Sequence[str]]) -> str:
    pairs = ", ".join(f"{canonical} = {' + '.join(names)}" for canonical, names in found.items())
    return f"{table} from {label}: {pairs}."


def _attributes(
    table: str, file: Described, reader: Reader, found: Mapping[str, Sequence[str]]
) -> tuple[dict[str, Attribute], list[str]]:
    """The configured attributes, or those with common names; and the faults."""
    raw = reader.raw
    if file.attributes is not None:
        asked = {name: rule.column or name for name, rule in file.attributes.items()}
        faults = [
            absent(column, label=raw.label, among=raw.columns)
            for column in asked.values()
            if column not in raw.columns
        ]
        return file.attributes, faults
    taken = {source for sources in found.values() for source in sources}
    free = [column for column in raw.columns if column not in taken]
    matches = {name: find(names, free) for name, names in COMMON_ATTRIBUTES[table].items()}
    return {
        name: _guess(name, column, reader) for name, column in matches.items() if column is not None
    }, []


def _guess(name: str, column: str, reader: Reader) -> Attribute:
    """Separator and bins of a column with a common name, from its first rows."""
    sample = (
        reader.raw.rows.select(reader.text(column).alias("t"))
        .drop_nulls()
        .head(SAMPLE_ROWS)
        .collect(engine="streaming")["t"]
    )
    numeric = len(sample) and sample.cast(pl.Float64, strict=False).null_count() == 0
    if name == "age" and numeric:
        return Attribute(column=column, bins=AGE_BINS)
    signs = SEPARATORS.get(name, "")
    separator = next((s for s in signs if sample.str.contains(s, literal=True).any()), None)
    return Attribute(column=column, separator=separator)
