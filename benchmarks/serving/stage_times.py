"""Where the time of a request goes, from what the server counts on /metrics."""

import re
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

STAGES = ("parse", "users", "graph", "live_items", "rules", "answer")
"""Of serving/observe/observer.py."""

_LINE = re.compile(r"^(?P<name>\w+)\{(?P<labels>[^}]*)\} (?P<value>\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Counters:
    """Sums at one moment.

    Attributes:
        requests: Requests that `recommend` answered.
        executions: Batches that they were answered in.
        request: Seconds from their arrival at Triton's core to their answer.
        queue: Seconds in its queue.
        stages: Seconds of each stage of the front.
    """

    requests: float
    executions: float
    request: float
    queue: float
    stages: Mapping[str, float]


def read(address: str, model: str = "recommend") -> Counters:
    """Return the counters of a model.

    Args:
        address: host:port of the metrics.
        model: Name of the model.
    """
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        return parse(answer.read().decode(), model)


def parse(text: str, model: str = "recommend") -> Counters:
    """Return the counters of a model in a page of metrics."""
    found: dict[str, float] = {}
    stages: dict[str, float] = {}
    for line in _LINE.finditer(text):
        labels = dict(_LABEL.findall(line["labels"]))
        if labels.get("model") == model:
            found[line["name"]] = found.get(line["name"], 0.0) + float(line["value"])
        elif line["name"] == "counterpoint_stage_seconds_sum":
            stages[labels["stage"]] = float(line["value"])
    return Counters(
        requests=found.get("nv_inference_request_success", 0.0),
        executions=found.get("nv_inference_exec_count", 0.0),
        request=found.get("nv_inference_request_duration_us", 0.0) / 1e6,
        queue=found.get("nv_inference_queue_duration_us", 0.0) / 1e6,
        stages=stages,
    )


def split(before: Counters, after: Counters, seen_ms: float) -> list[tuple[str, float]]:
    """Return the mean milliseconds of a request by where they went.

    Args:
        before: Counters before the run.
        after: Counters after it.
        seen_ms: Mean latency at the client.
    """
    requests = after.requests - before.requests
    if not requests:
        return []
    queue = (after.queue - before.queue) / requests * 1e3
    core = (after.request - before.request) / requests * 1e3
    rows = [("queue of the model", queue)]
    for stage in STAGES:
        # A batch's stages are waited for by each of its requests.
        spent = after.stages.get(stage, 0.0) - before.stages.get(stage, 0.0)
        rows.append((f"front: {stage}", spent / (after.executions - before.executions) * 1e3))
    inside = sum(milliseconds for _, milliseconds in rows)
    rows.append(("Triton: tensors to and from the process of the front", core - inside))
    rows.append(("gRPC, client, waiting before sending", seen_ms - core))
    return rows
