"""Runs suites on slices of a table, so that memory is bounded, and merges the results."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import great_expectations as gx
import numpy as np
import numpy.typing as npt
import polars as pl
from great_expectations.core.expectation_validation_result import (
    ExpectationSuiteValidationResult,
    ExpectationValidationResult,
)
from great_expectations.data_context.types.base import ProgressBarsConfig

from counterpoint.expectations._rules import CRITICAL

SHOWN_VALUES = 20


@dataclass(frozen=True)
class Outcome:
    """One rule on a whole table.

    Attributes:
        reason: Why a row breaks it.
        severity: ``critical`` or ``warning``.
        positions: Sorted positions of the rows that break it.
    """

    reason: str
    severity: str
    positions: npt.NDArray[np.int64]

    @property
    def critical(self) -> bool:
        """A row that breaks it is quarantined."""
        return self.severity == CRITICAL.value


class Checker:
    """Great Expectations without project files."""

    def __init__(self) -> None:
        self.context = gx.get_context(mode="ephemeral")
        self.context.variables.progress_bars = ProgressBarsConfig(
            globally=False, metric_calculations=False
        )
        self.context.enable_analytics(False)
        source = self.context.data_sources.add_pandas("canonical")
        self._batch = source.add_dataframe_asset("table").add_batch_definition_whole_dataframe(
            "all"
        )

    def check(
        self, slices: Iterable[pl.DataFrame], suite: gx.ExpectationSuite
    ) -> tuple[list[Outcome], ExpectationSuiteValidationResult]:
        """Ask every rule of every row.

        Args:
            slices: Consecutive parts of one table, at least one.
            suite: The rules; each carries ``meta.reason``.

        Returns:
            Positions of the rows that break each rule, and the result for the Data Docs.
        """
        merged: list[ExpectationValidationResult] = []
        positions: list[list[npt.NDArray[np.int64]]] = [[] for _ in suite.expectations]
        offset = 0
        for part in slices:
            batch = self._batch.get_batch({"dataframe": part.to_pandas()})
            found = batch.validate(suite, result_format={"result_format": "COMPLETE"})
            results = _in_order(suite, found.results)
            for where, result in zip(positions, results, strict=True):
                index = result.result.get("unexpected_index_list") or []
                where.append(np.asarray(index, dtype=np.int64) + offset)
                _trim(result)
            if merged:
                for total, more in zip(merged, results, strict=True):
                    _add(total, more)
            else:
                merged = results
            offset += len(part)
        outcomes = [
            Outcome(
                str((e.meta or {})["reason"]),
                e.severity.value,
                np.sort(np.concatenate(where)) if where else np.empty(0, dtype=np.int64),
            )
            for e, where in zip(suite.expectations, positions, strict=True)
        ]
        passed = sum(bool(result.success) for result in merged)
        return outcomes, ExpectationSuiteValidationResult(
            success=passed == len(merged),
            results=merged,
            suite_name=suite.name,
            statistics={
                "evaluated_expectations": len(merged),
                "successful_expectations": passed,
                "unsuccessful_expectations": len(merged) - passed,
                "success_percent": 100 * passed / max(len(merged), 1),
            },
            meta={"great_expectations_version": gx.__version__, "rows": offset},
        )


def _in_order(
    suite: gx.ExpectationSuite, results: Iterable[ExpectationValidationResult]
) -> list[ExpectationValidationResult]:
    """Results in the order of the suite; a rule that could not be computed is a bug, not data."""
    by_reason = {}
    for result in results:
        details = result.exception_info or {}
        nested = [d for d in details.values() if isinstance(d, dict)] or [details]
        if any(d.get("raised_exception") for d in nested):
            raise RuntimeError(f"{result.expectation_config}: {details}")
        asked = result.expectation_config
        by_reason[((asked and asked.meta) or {})["reason"]] = result
    return [by_reason[(e.meta or {})["reason"]] for e in suite.expectations]


def _trim(result: ExpectationValidationResult) -> None:
    """Drop the complete lists: positions are kept elsewhere and would swell the Data Docs."""
    for key in ("unexpected_list", "unexpected_index_list", "unexpected_index_query",
                "partial_unexpected_index_list"):  # fmt: skip
        result.result.pop(key, None)


def _add(total: ExpectationValidationResult, more: ExpectationValidationResult) -> None:
    """Add the counts of a later slice to a result."""
    into, add = total.result, more.result
    total.success = bool(total.success and more.success)
    for key in ("element_count", "unexpected_count", "missing_count"):
        if key in into or key in add:
            into[key] = into.get(key, 0) + add.get(key, 0)
    rows, bad = into["element_count"], into["unexpected_count"]
    present = rows - into.get("missing_count", 0)
    into["unexpected_percent"] = 100 * bad / present if present else 0.0
    into["unexpected_percent_nonmissing"] = into["unexpected_percent"]
    into["unexpected_percent_total"] = 100 * bad / rows if rows else 0.0
    if "missing_count" in into:
        into["missing_percent"] = 100 * into["missing_count"] / rows if rows else 0.0
    values = [*into.get("partial_unexpected_list", []), *add.get("partial_unexpected_list", [])]
    into["partial_unexpected_list"] = values[:SHOWN_VALUES]
    into["partial_unexpected_counts"] = [
        {"value": value, "count": count}
        for value, count in Counter(into["partial_unexpected_list"]).most_common()
    ]
