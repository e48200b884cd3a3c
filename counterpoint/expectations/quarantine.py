"""Divides a table into accepted and quarantined rows: every row goes to exactly one of the two."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import great_expectations as gx
import polars as pl
from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult

from counterpoint import artifacts, columns, tables
from counterpoint.datasets._source import RAW, REASON, TABLE
from counterpoint.expectations._checker import Checker, Outcome
from counterpoint.expectations._rules import CRITICAL, DUPLICATE, EARLIER_COPIES
from counterpoint.progress import track

SLICE_ROWS = 250_000
POSITION = "__position"


@dataclass(frozen=True)
class Subject:
    """What is asked of one table.

    Attributes:
        table: ``interactions``, ``items``, ``users``, or that of a modality (vector_tables.py).
        suite: Row rules.
        checked: Columns the rules read, apart from the helper columns.
        helpers: Helper columns the rules read.
        key: Rows equal in these are copies.
        first: Rows that may be a first copy; none: all.
        harmless: Reasons that do not count against the table, as copies do not.
        example: What is shown of a row that breaks a rule.
    """

    table: str
    suite: gx.ExpectationSuite
    checked: Sequence[str]
    key: Sequence[str]
    helpers: Sequence[pl.Expr] = ()
    first: pl.Expr | None = None
    harmless: Sequence[str] = ()
    example: Sequence[pl.Expr] = (pl.exclude(POSITION),)

    @property
    def file(self) -> tuple[str, pl.Schema]:
        """Name and schema of the table's file."""
        return tables.FILES.get(self.table, (f"{self.table}.parquet", columns.VECTORS))


@dataclass(frozen=True)
class Broken:
    """A rule that some rows break.

    Attributes:
        rule: The reason the rows carry.
        severity: ``critical`` (quarantined) or ``warning`` (kept).
        count: Rows that break it.
        examples: Some of them.
    """

    rule: str
    severity: str
    count: int
    examples: list[dict[str, Any]]


@dataclass(frozen=True)
class Judgement:
    """What became of one table.

    Attributes:
        rows: Data rows of the source, readable or not.
        accepted: Rows written to the validated table.
        quarantined: Rows written to the quarantine.
        duplicates: Those of them that only repeat an earlier row.
        harmless: Those of them that have only harmless reasons (``Subject.harmless``).
        broken: Rules that some rows break, most rows first.
        result: Of the row suite, for the Data Docs; none if the table has no rows.
    """

    rows: int
    accepted: int
    quarantined: int
    duplicates: int
    harmless: int
    broken: list[Broken]
    result: ExpectationSuiteValidationResult | None

    @property
    def share(self) -> float:
        """Quarantined part of the rows."""
        return self.quarantined / self.rows if self.rows else 0.0

    @property
    def duplicate_share(self) -> float:
        """Part of the rows that only repeats an earlier one."""
        return self.duplicates / self.rows if self.rows else 0.0

    @property
    def bad_share(self) -> float:
        """Part of the rows that is quarantined for another than a harmless reason."""
        bad = self.quarantined - self.duplicates - self.harmless
        return bad / self.rows if self.rows else 0.0


def judge(
    subject: Subject, *, dataset: Path, validated: Path, checker: Checker, examples: int
) -> Judgement:
    """Check one table and write its accepted and its quarantined rows.

    Args:
        subject: Table and rules.
        dataset: Folder written by ingest.
        validated: Folder to write: the table, and ``quarantine/<table>.parquet`` with the columns
            of the table, ``raw`` (source of unreadable rows as JSON text) and ``reason``.
        checker: Runs the rules.
        examples: Example rows per broken rule.
    """
    name, schema = subject.file
    source = pl.scan_parquet(dataset / name).with_row_index(POSITION)
    readable = _count(source)
    outcomes: list[Outcome] = []
    result = None
    if readable:
        slices = _slices(source, subject)
        total = -(-readable // SLICE_ROWS)
        outcomes, result = checker.check(
            track(slices, f"Check {subject.table}", total=total), subject.suite
        )
    reasons = _reasons(outcomes)
    unreadable = (
        pl.scan_parquet(dataset / artifacts.REJECTED)
        .filter(pl.col(TABLE) == subject.table)
        .select(RAW, REASON)
    )
    kept = source.filter(~pl.col(POSITION).is_in(reasons[POSITION].implode())).drop(POSITION)
    kept.sink_parquet(validated / name)
    sent = (
        source.filter(pl.col(POSITION).is_in(reasons[POSITION].implode()))
        .join(reasons.lazy(), on=POSITION, how="left", maintain_order="left")
        .drop(POSITION)
    )
    quarantine = validated / artifacts.QUARANTINE / name
    quarantine.parent.mkdir(parents=True, exist_ok=True)
    shape = pl.Schema({**schema, RAW: pl.String(), REASON: pl.String()}).to_frame().lazy()
    pl.concat([shape, sent, unreadable], how="diagonal").sink_parquet(quarantine)
    judgement = Judgement(
        rows=readable + _count(unreadable),
        accepted=_count(pl.scan_parquet(validated / name)),
        quarantined=_count(pl.scan_parquet(quarantine)),
        duplicates=_duplicates(reasons),
        harmless=_harmless(reasons, subject.harmless),
        broken=[
            *_broken(source.select(pl.col(POSITION), *subject.example), outcomes, examples),
            *_unreadable(unreadable, examples),
        ],
        result=result,
    )
    judgement.broken.sort(key=lambda broken: -broken.count)
    if judgement.rows != judgement.accepted + judgement.quarantined:
        raise RuntimeError(f"{subject.table}: rows were lost or doubled: {judgement}")
    return judgement


def _slices(source: pl.LazyFrame, subject: Subject) -> Iterable[pl.DataFrame]:
    copies = later_copies(source, subject.key, subject.first)
    earlier = pl.col(POSITION).is_in(copies.implode()).cast(pl.Int8).alias(EARLIER_COPIES)
    helpers = [*subject.helpers, earlier]
    names = [helper.meta.output_name() for helper in helpers]
    asked = source.with_columns(helpers).select(*subject.checked, *names)
    return asked.collect_batches(chunk_size=SLICE_ROWS, maintain_order=True)


def later_copies(
    source: pl.LazyFrame, key: Sequence[str], first: pl.Expr | None = None
) -> pl.Series:
    """Return the positions of rows whose key occurred above; null ids are no copies.

    Only hashes of the whole table are held in memory; rows with equal hashes are then compared.
    """
    candidates = source.filter(pl.col(key[0]).is_not_null(), *([] if first is None else [first]))
    hashes = candidates.select(POSITION, pl.struct(key).hash().alias("hash"))
    repeated = (
        hashes.collect(engine="streaming")
        .filter(pl.col("hash").is_duplicated())
        .get_column(POSITION)
    )
    if repeated.is_empty():
        return repeated
    rows = source.filter(pl.col(POSITION).is_in(repeated.implode())).select(POSITION, *key)
    found = rows.collect(engine="streaming").sort(POSITION)
    return found.filter(~pl.struct(key).is_first_distinct())[POSITION]


def _reasons(outcomes: Sequence[Outcome]) -> pl.DataFrame:
    """Position -> all critical reasons, in the order of the suite."""
    parts = [
        pl.DataFrame({POSITION: outcome.positions}).with_columns(
            pl.lit(outcome.reason).alias(REASON)
        )
        for outcome in outcomes
        if outcome.critical
    ]
    empty = pl.DataFrame(schema={POSITION: pl.get_index_type(), REASON: pl.String})
    return (
        pl.concat([empty, *(part.cast({POSITION: pl.get_index_type()}) for part in parts)])
        .group_by(POSITION, maintain_order=True)
        .agg(pl.col(REASON).str.join("; "))
    )


def _duplicates(reasons: pl.DataFrame) -> int:
    """Rows whose only reason is that they are a copy."""
    reason = pl.col(REASON)
    copy = reason.str.starts_with(DUPLICATE) & ~reason.str.contains(";", literal=True)
    return int(reasons.select(copy.sum()).item())


def _harmless(reasons: pl.DataFrame, harmless: Sequence[str]) -> int:
    """Rows with harmless reasons alone, those that are only a copy apart."""
    if not harmless:
        return 0
    each = pl.element()
    fine = each.is_in(list(harmless)) | each.str.starts_with(DUPLICATE)
    all_fine = pl.col(REASON).str.split("; ").list.eval(fine).list.all()
    return int(reasons.select(all_fine.sum()).item()) - _duplicates(reasons)


def _broken(source: pl.LazyFrame, outcomes: Sequence[Outcome], examples: int) -> list[Broken]:
    broken = []
    for outcome in outcomes:
        if len(outcome.positions):
            shown = pl.Series(outcome.positions[:examples]).cast(pl.get_index_type())
            rows = source.filter(pl.col(POSITION).is_in(shown.implode())).drop(POSITION)
            dicts = rows.collect(engine="streaming").to_dicts()
            broken.append(Broken(outcome.reason, outcome.severity, len(outcome.positions), dicts))
    return broken


def _unreadable(unreadable: pl.LazyFrame, examples: int) -> list[Broken]:
    """Unreadable rows by reason, the reason without the value that differs from row to row."""
    general = (
        pl.col(REASON).str.replace_all(r"'[^']*'", "'…'").str.replace_all(r"\bline \d+", "line …")
    )
    grouped = (
        unreadable.group_by(general.alias("rule"), maintain_order=True)
        .agg(pl.len(), pl.struct(RAW, REASON).head(examples).alias("rows"))
        .collect()
    )
    return [Broken(rule, CRITICAL.value, count, rows) for rule, count, rows in grouped.iter_rows()]


def _count(frame: pl.LazyFrame) -> int:
    return int(frame.select(pl.len()).collect(engine="streaming").item())
