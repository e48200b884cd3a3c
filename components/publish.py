"""What every step does around its stage: logging, figures, faults without a stack trace."""

import json
import logging
import resource
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from counterpoint.classification import CATEGORIES, Classification
from counterpoint.errors import as_fault

SAID = "· "
"""Starts the log lines of our own stages; what libraries print stays in the log only."""

FAULT = "COUNTERPOINT-FAULT"
"""Starts the log line by which the local runner recognises the user's fault and its exit status."""


class MetricsLog(Protocol):
    """The part of ``kfp.dsl.Metrics`` used here."""

    def log_metric(self, metric: str, value: float) -> None:
        """Record one figure."""


@contextmanager
def step(metrics: MetricsLog) -> Iterator[dict[str, Any]]:
    """Run the body of a step; the figures put into the yielded dict become KFP metrics.

    Wall and CPU seconds and peak memory are added. A fault of the user ends the step with its
    message and exit status instead of a stack trace.
    """
    speak()
    figures: dict[str, Any] = {}
    started = time.monotonic()
    try:
        yield figures
    except Exception as error:  # looked at, and raised again unless a person can mend it
        fault = as_fault(error)
        if fault is None:
            raise
        print(fault, file=sys.stderr)
        told = {"exit_code": fault.exit_code, "message": str(fault)}
        print(FAULT, json.dumps(told), file=sys.stderr, flush=True)
        raise SystemExit(fault.exit_code) from None
    usage = resource.getrusage(resource.RUSAGE_SELF)
    figures |= {
        "seconds": time.monotonic() - started,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_memory_mb": usage.ru_maxrss / 1024,
    }
    for name, value in figures.items():
        if isinstance(value, bool | int | float):
            metrics.log_metric(name, float(value))


def speak(prefix: str = SAID) -> None:
    """Let our own packages log to standard error, and no library."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(f"{prefix}%(message)s"))
    for package in ("counterpoint", "feature_repo", "serving"):
        logger = logging.getLogger(package)
        logger.setLevel(logging.INFO)
        logger.handlers, logger.propagate = [handler], False


def markdown(
    path: str, title: str, figures: Mapping[str, Any], *, notes: str | Sequence[str] = ""
) -> None:
    """Write a small page with a table of figures for the Kubeflow UI."""
    text = notes if isinstance(notes, str) else "\n".join(f"- {note}" for note in notes)
    rows = [f"| {name.replace('_', ' ')} | {shown(value)} |" for name, value in figures.items()]
    page = [f"# {title}", "", "| figure | value |", "| --- | --- |", *rows, "", text, ""]
    Path(path).write_text("\n".join(page), "utf-8")


def copy_page(page: Path, path: str) -> None:
    """Copy an HTML page to where KFP shows it; a page that a failed stage did not reach is left."""
    if page.is_file():
        shutil.copyfile(page, path)


def log_classification(metrics: Any, found: Classification | None) -> None:
    """Log ROC curve and confusion matrix, unless the test fold lacks one of the classes."""
    if found is None:
        return
    metrics.log_roc_curve(found.fpr, found.tpr, found.thresholds)
    metrics.log_confusion_matrix(list(CATEGORIES), found.confusion)


def shown(value: Any) -> str:
    """A figure as a person reads it: four significant digits, thousands apart."""
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.4g}"
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)
