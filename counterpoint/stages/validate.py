"""Stage 2: expectation suites decide what is accepted, quarantined, or stops the pipeline."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from counterpoint import artifacts, tables, vector_tables
from counterpoint.config.validation import ValidationConfig
from counterpoint.errors import DataError, ValidationFailure

logger = logging.getLogger(__name__)

Verdict = Literal["pass", "warn", "fail"]
DOCS_PAGE = "index.html"


@dataclass(frozen=True)
class ValidateResult:
    """What was decided.

    Attributes:
        verdict: ``pass`` or ``warn``; ``fail`` is raised.
        figures: Accepted and quarantined rows by table, anomalies.
        notes: Reasons of a warning.
    """

    verdict: Verdict
    figures: dict[str, Any]
    notes: list[str]


def docs_page(validated: Path) -> Path:
    """Return the self-contained HTML page that ``run`` writes, on failure too."""
    return validated / artifacts.DATA_DOCS / DOCS_PAGE


def run(config: ValidationConfig, *, dataset: Path, validated: Path) -> ValidateResult:
    """Check the tables, divide their rows, write verdict, quarantine and Data Docs.

    Args:
        config: Bounds and thresholds.
        dataset: Folder written by ingest.
        validated: Folder to write (artifacts.py); ``dataset.json``, written last, only if the
            verdict is not ``fail``.

    Raises:
        DataError: The data set folder is incomplete.
        ValidationFailure: A threshold is crossed; names table, rule, count and example rows.
    """
    if not (dataset / artifacts.DATASET).is_file():
        raise DataError(
            f"{dataset} has no {artifacts.DATASET}: the stage `ingest` has not finished there. "
            "Run it first."
        )
    facts = tables.read_json(dataset / artifacts.DATASET)
    validated.mkdir(parents=True, exist_ok=True)
    (validated / artifacts.DATASET).unlink(missing_ok=True)
    vector_tables.clear(validated)
    vector_tables.clear(validated / artifacts.QUARANTINE)
    # It logs a line per registered method, at import and later.
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    # It takes seconds to import, which the command line should not wait for.
    from counterpoint.expectations.verdict import reach

    now = datetime.now(UTC)
    report = reach(
        config,
        dataset=dataset,
        validated=validated,
        timed=facts["has_timestamps"],
        latest=now + timedelta(days=config.future_days),
    )
    summary = report.summary()
    tables.write_json(
        validated / artifacts.VALIDATION_VERDICT, {"validated_at": now.isoformat(), **summary}
    )
    page = docs_page(validated)
    page.parent.mkdir(exist_ok=True)
    page.write_text(report.page(), "utf-8")
    if report.verdict == "fail":
        raise ValidationFailure(
            "\n".join(report.reasons)
            + f"\nNothing was lost: quarantine, verdict and report are in {validated}."
        )
    for reason in report.reasons:
        logger.warning("%s", reason)
    judged = summary["tables"]
    rows = {table: figures["accepted"] for table, figures in judged.items()}
    quarantined = {table: figures["quarantined"] for table, figures in judged.items()}
    tables.write_json(
        validated / artifacts.DATASET, {**facts, "rows": rows, "quarantined": quarantined}
    )
    figures = {
        "verdict": report.verdict,
        **{f"accepted_{_plain(table)}": count for table, count in rows.items()},
        **{f"quarantined_{_plain(table)}": count for table, count in quarantined.items()},
        "anomalous_users": sum(anomaly.users for anomaly in report.anomalies),
    }
    return ValidateResult(report.verdict, figures, report.reasons)


def _plain(table: str) -> str:
    """Name of a table inside the name of a figure."""
    return table.replace(".", "_")
