"""The observer of a served front: turns what it is told into metrics, log lines and impressions."""

import json
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from serving.observe import meters, pseudonyms
from serving.observe.coverage import Coverage
from serving.observe.impression_log import ImpressionLog
from serving.observe.meters import Meters, Series, Sink
from serving.observe.observer import STAGES, Answered
from serving.observe.pseudonyms import Pseudonyms
from serving.observe.request_log import Level, RequestLog
from serving.observe.trace_context import TraceContext

logger = logging.getLogger(__name__)

STAGE_SECONDS = "counterpoint_stage_seconds"
ANSWERS = "counterpoint_answers_total"
DEGRADED = "counterpoint_degraded_answers_total"
REFUSED = "counterpoint_refused_requests_total"
FAILED = "counterpoint_failed_requests_total"
PLACES = "counterpoint_answered_places_total"
COVERED = "counterpoint_distinct_items_answered"
VERSION = "counterpoint_version_served"
SHADOWED = "counterpoint_shadow_answers_total"
OVERLAP = "counterpoint_shadow_overlap_total"
SHADOW_DROPPED = "counterpoint_shadow_dropped_total"
IMPRESSIONS_DROPPED = "counterpoint_impressions_dropped_total"

_FIELD_LENGTH = 40


class ServingObserver:
    """Reports to Prometheus (through a sink), the log and the impression log.

    Args:
        sink: Takes the metrics.
        instance: Name of the model instance, a label of what is counted within one process.
        request_log: Takes the log lines.
        users: Replaces user ids.
        fields: Names of the inputs: the values that the label ``field`` may have.
        impressions: Takes the answers; none: they are not kept.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        instance: str,
        request_log: RequestLog,
        users: Pseudonyms,
        fields: Sequence[str],
        impressions: ImpressionLog | None = None,
    ) -> None:
        self._log = request_log
        self._users = users
        self._fields = frozenset(fields)
        self._impressions = impressions
        self._coverage = Coverage()
        self._stages: dict[str, float] = {}
        self._answers: list[Answered] = []
        self._lock = threading.Lock()
        self._served: dict[tuple[str, str], Series] = {}
        self._instance = instance
        self._covered = meters.series(COVERED, {"instance": instance})
        self._timed = {s: meters.series(STAGE_SECONDS, {"stage": s}) for s in STAGES}
        self._places = {c: meters.series(PLACES, {"cold": c}) for c in ("false", "true")}
        self._meters = Meters(sink, before=self._measure)

    def stage(self, name: str, seconds: float) -> None:
        """Add to the histogram of the stage; ``name`` is one of STAGES."""
        self._stages[name] = self._stages.get(name, 0.0) + seconds

    def answered(self, answer: Answered) -> None:
        """Note a row until the execution is over and all its stages are known."""
        self._answers.append(answer)

    def refused(self, message: str, trace: TraceContext) -> None:
        """Count a refused request under its field.

        The message stays out of the log: it quotes the request, which may hold a user id.
        """
        named = message.partition(":")[0].partition(".")[0][:_FIELD_LENGTH]
        field = named if named in self._fields else "other"
        self._meters.add(meters.series(REFUSED, {"field": field}))
        if self._log.errors:
            self._log.write("warning", "refused", {**_ids(trace), "field": field})

    def failed(self, error: BaseException, traces: Sequence[TraceContext]) -> None:
        """Count failed requests; the log names the kind of the error, not its text."""
        kind = type(error).__name__
        self._meters.add(meters.series(FAILED, {"error": kind}), len(traces))
        if self._log.errors:
            for trace in traces:
                self._log.write("error", "failed", {**_ids(trace), "error": kind})

    def finish(self) -> None:
        """Report the execution."""
        stages, self._stages = self._stages, {}
        answers, self._answers = self._answers, []
        for name, seconds in stages.items():
            self._meters.observe(self._timed[name], seconds)
        for answer in answers:
            self._count(answer)
            if self._log.all or (self._log.errors and answer.degraded):
                self._describe(answer, stages)
            if self._impressions is not None:
                self._impressions.write((time.time(), answer))

    def serves(self, champion: str, canary: str = "", shadow: str = "") -> None:
        """Show the versions as gauges of 1; those no longer served become 0."""
        wanted = {"champion": champion, "canary": canary, "shadow": shadow}
        with self._lock:
            for gone in self._served.values():
                self._meters.set(gone, 0)
            for role, version in wanted.items():
                if version:
                    labels = {"version": version, "role": role, "instance": self._instance}
                    series = meters.series(VERSION, labels)
                    self._served[role, version] = series
                    self._meters.set(series, 1)

    def shadowed(self, overlap: float) -> None:
        """Count an answer of the shadow and add its overlap (0 to 1) with the answer given."""
        self._meters.add(meters.series(SHADOWED))
        self._meters.add(meters.series(OVERLAP), overlap)

    def shadow_dropped(self) -> None:
        """Count a request that the shadow did not see."""
        self._meters.add(meters.series(SHADOW_DROPPED))

    def close(self) -> None:
        """Write the impressions and hand over the last numbers."""
        if self._impressions is not None:
            self._impressions.close()
        self._meters.close()

    def _count(self, answer: Answered) -> None:
        labels = (("source", answer.source), ("role", answer.role), ("version", answer.version))
        self._meters.add((ANSWERS, labels))
        if answer.degraded:
            self._meters.add(meters.series(DEGRADED))
        self._meters.add(self._places["false"], len(answer.items) - answer.cold)
        self._meters.add(self._places["true"], answer.cold)
        self._coverage.add(answer.items)

    def _describe(self, answer: Answered, stages: Mapping[str, float]) -> None:
        fields = {
            **_ids(answer.trace),
            "question": answer.question if answer.question != answer.trace.trace_id else "",
            "version": answer.version,
            "role": answer.role,
            "source": answer.source,
            "degraded": answer.degraded,
            "items": len(answer.items),
            "user": self._users.of(answer.user),
            "ms": {name: round(1000 * seconds, 3) for name, seconds in stages.items()},
        }
        self._log.write("warning" if answer.degraded else "info", "answered", fields)

    def _measure(self) -> None:
        self._meters.set(self._covered, self._coverage.count())
        if self._impressions is not None:
            dropped = self._impressions.take_dropped()
            if dropped:
                self._meters.add(meters.series(IMPRESSIONS_DROPPED), dropped)


def _ids(trace: TraceContext) -> dict[str, str]:
    return {
        "trace_id": trace.trace_id,
        "span_id": trace.span_id,
        "parent_id": trace.parent_id,
    }


def impression(shown: tuple[float, Answered], users: Pseudonyms) -> dict[str, Any]:
    """Return the line of the impression log of an answer given at a time (seconds since 1970)."""
    when, answer = shown
    return {
        "when": datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds"),
        "trace_id": answer.question or answer.trace.trace_id,
        "user": users.of(answer.user),
        "version": answer.version,
        "role": answer.role,
        "source": answer.source,
        "degraded": answer.degraded,
        "items": [*answer.items],
        "scores": [float(score) for score in answer.scores],
        "propensities": [float(value) for value in answer.propensities],
        # As text: the options of a rule have no common shape that a table could hold.
        "rules": json.dumps(answer.rules, ensure_ascii=False, sort_keys=True),
    }


def start(
    options: Mapping[str, str], sink: Sink, *, instance: str, fields: Sequence[str]
) -> ServingObserver:
    """Make the observer that the parameters of a model describe.

    Args:
        options: ``log_requests``, ``log_key_file``, ``impressions``, ``impressions_mb``; each may
            be absent.
        sink: Takes the metrics.
        instance: Name of the model instance.
        fields: Names of the inputs.

    Raises:
        ValueError: An option has no usable value.
        OSError: The key cannot be read, or the folder of impressions not be written.
    """
    level = options.get("log_requests", "errors")
    if level not in ("off", "errors", "all"):
        raise ValueError(f"log_requests: {level!r} is not off, errors or all.")
    known: Level = level  # type: ignore[assignment]
    users = pseudonyms.from_file(options.get("log_key_file", ""))
    folder = options.get("impressions", "")
    impressions = None
    if folder:
        files = max(1, int(options.get("impressions_mb", "1024")) // 64)
        impressions = ImpressionLog(Path(folder), partial(impression, users=users), files=files)
    return ServingObserver(
        sink,
        instance=instance,
        request_log=RequestLog(known),
        users=users,
        fields=fields,
        impressions=impressions,
    )
