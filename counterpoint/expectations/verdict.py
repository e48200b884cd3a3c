"""Runs all suites on a data set and draws the conclusion: pass, warn or fail."""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import great_expectations as gx
import polars as pl
from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult

from counterpoint import artifacts, columns, vector_tables
from counterpoint.config.validation import ValidationConfig
from counterpoint.expectations import anomalies, docs, interactions, items, users, vectors
from counterpoint.expectations._checker import Checker, Outcome
from counterpoint.expectations.anomalies import Anomaly
from counterpoint.expectations.quarantine import Broken, Judgement, Subject, judge

SHOWN_RULES = 3
MAX_VALUE = 80


@dataclass(frozen=True)
class Report:
    """The conclusion and what it rests on.

    Attributes:
        verdict: ``pass``, ``warn`` or ``fail``.
        reasons: Why it is not ``pass``, as sentences.
        judgements: Table -> what became of its rows.
        anomalies: Users that stand out.
        results: Of every suite, for the Data Docs.
    """

    verdict: Literal["pass", "warn", "fail"]
    reasons: list[str]
    judgements: dict[str, Judgement]
    anomalies: list[Anomaly]
    results: list[ExpectationSuiteValidationResult]

    def summary(self) -> dict[str, Any]:
        """Return ``verdict.json``."""
        judged = {
            table: {
                "rows": judgement.rows,
                "accepted": judgement.accepted,
                "quarantined": judgement.quarantined,
                "quarantined_share": judgement.share,
                "duplicates": judgement.duplicates,
                "harmless": judgement.harmless,
                "broken": [dataclasses.asdict(broken) for broken in judgement.broken],
            }
            for table, judgement in self.judgements.items()
        }
        return {
            "verdict": self.verdict,
            "reasons": self.reasons,
            "tables": judged,
            "anomalies": [dataclasses.asdict(anomaly) for anomaly in self.anomalies],
        }

    def page(self) -> str:
        """Return the Data Docs of all suites as one HTML page."""
        header = ("table", "rows", "accepted", "quarantined", "broken rules")
        rows = [
            (
                table,
                f"{judgement.rows:,}",
                f"{judgement.accepted:,}",
                f"{judgement.quarantined:,} ({judgement.share:.2%})",
                "; ".join(f"{b.rule}: {b.count:,} ({b.severity})" for b in judgement.broken),
            )
            for table, judgement in self.judgements.items()
        ]
        return docs.page(self.verdict, self.reasons, [header, *rows], self.results)


def reach(
    config: ValidationConfig, *, dataset: Path, validated: Path, timed: bool, latest: datetime
) -> Report:
    """Check the tables, write the accepted and the quarantined rows, and conclude.

    Args:
        config: Bounds and thresholds.
        dataset: Folder written by ingest.
        validated: Folder to write.
        timed: The data set has timestamps.
        latest: Instant after which a timestamp is in the future.
    """
    checker = Checker()
    judgements: dict[str, Judgement] = {}
    results: list[ExpectationSuiteValidationResult] = []
    failures: list[str] = []
    warnings: list[str] = []
    for subject, suite in _subjects(config, dataset, validated, latest):
        table = subject.table
        judgement = judge(
            subject,
            dataset=dataset,
            validated=validated,
            checker=checker,
            examples=config.examples,
        )
        judgements[table] = judgement
        profile = _profile(judgement, validated / subject.file[0])
        outcomes, result = checker.check([profile], suite)
        results += [r for r in (judgement.result, result) if r is not None]
        failures += _failures(table, judgement, profile, outcomes)
        warnings += _warnings(table, judgement, config)
    found = anomalies.detect(validated, config, timed=timed)
    warnings += [f"interactions: {a.message}." for a in found]
    verdict: Literal["pass", "warn", "fail"] = (
        "fail" if failures else "warn" if warnings else "pass"
    )
    return Report(verdict, failures or warnings, judgements, found, results)


def _subjects(
    config: ValidationConfig, dataset: Path, validated: Path, latest: datetime
) -> Iterator[tuple[Subject, gx.ExpectationSuite]]:
    """Yield the tables with their rules, each when those before it have been judged."""
    catalogue = pl.read_parquet(dataset / artifacts.ITEMS, columns=[columns.ITEM])[columns.ITEM]
    yield (
        Subject(
            "interactions",
            interactions.rows(config, latest=latest),
            interactions.CHECKED,
            interactions.KEY,
            interactions.derive(catalogue),
            interactions.usable(),
        ),
        interactions.table(config),
    )
    yield (
        Subject("items", items.rows(config), items.CHECKED, items.KEY, items.derive()),
        items.table(config),
    )
    yield Subject("users", users.rows(config), users.CHECKED, users.KEY), users.table(config)
    files = vector_tables.named(dataset)
    known = _known_items(validated) if files else pl.Series(dtype=pl.String)
    for name, file in files.items():
        width = vectors.usual_width(file)
        subject = Subject(
            vector_tables.table(name),
            vectors.rows(config, width),
            vectors.CHECKED,
            vectors.KEY,
            vectors.derive(known, width),
            harmless=vectors.HARMLESS,
            example=vectors.example(),
        )
        yield subject, vectors.table(config, name)


def _known_items(validated: Path) -> pl.Series:
    """Ids of the accepted items and interactions."""
    names = (artifacts.ITEMS, artifacts.INTERACTIONS)
    ids = [pl.scan_parquet(validated / name).select(columns.ITEM) for name in names]
    return pl.concat(ids).unique().collect(engine="streaming")[columns.ITEM]


def _profile(judgement: Judgement, accepted: Path) -> pl.DataFrame:
    """One row of figures of a table, which the rules of the whole table are asked of."""
    frame = pl.scan_parquet(accepted)
    names = {columns.USER: "users", columns.ITEM: "items"}
    schema = frame.collect_schema()
    figures = [pl.col(c).n_unique().alias(name) for c, name in names.items() if c in schema]
    if columns.POSITIVE in schema:
        figures.append(pl.col(columns.POSITIVE).sum().alias("positives"))
    return frame.select(
        pl.lit(judgement.accepted).alias("accepted_rows"),
        pl.lit(judgement.bad_share).alias("bad_share"),
        pl.lit(judgement.duplicate_share).alias("duplicate_share"),
        *figures,
    ).collect(engine="streaming")


def _failures(
    table: str, judgement: Judgement, profile: pl.DataFrame, outcomes: list[Outcome]
) -> list[str]:
    """One text per broken rule of the whole table, with the rules its rows break most."""
    broken = [outcome.reason for outcome in outcomes if len(outcome.positions)]
    if not broken:
        return []
    figures = ", ".join(
        f"{name.replace('_', ' ')} {value:.2%}" if isinstance(value, float) else
        f"{name.replace('_', ' ')} {value}"
        for name, value in profile.row(0, named=True).items()
    )  # fmt: skip
    lines = [f"{table}: {'; '.join(broken)}. Found: {figures}."]
    for rule in _of(judgement, critical=True)[:SHOWN_RULES]:
        lines.append(f"  {rule.rule}: {_rows(rule.count)}, for example")
        lines += [f"    {_shown(row)}" for row in rule.examples]
    return ["\n".join(lines)]


def _warnings(table: str, judgement: Judgement, config: ValidationConfig) -> list[str]:
    warnings = []
    if judgement.share > config.warn_fraction:
        rules = "; ".join(f"{b.rule} ({b.count})" for b in _of(judgement, critical=True))
        warnings.append(
            f"{table}: {_rows(judgement.quarantined)} of {judgement.rows} ({judgement.share:.2%}) "
            f"quarantined: {rules}."
        )
    warnings += [
        f"{table}: {rule.rule}: {_rows(rule.count)}, kept."
        for rule in _of(judgement, critical=False)
    ]
    return warnings


def _of(judgement: Judgement, *, critical: bool) -> list[Broken]:
    return [b for b in judgement.broken if (b.severity == "critical") == critical]


def _rows(count: int) -> str:
    return f"{count} row" if count == 1 else f"{count} rows"


def _shown(row: dict[str, Any]) -> str:
    """A row without its empty columns, long values cut."""
    given = {name: value for name, value in row.items() if value not in (None, [], "")}
    cut = {
        name: value[:MAX_VALUE] + "…"
        if isinstance(value, str) and len(value) > MAX_VALUE
        else value
        for name, value in given.items()
    }
    return json.dumps(cut, default=str, ensure_ascii=False)
