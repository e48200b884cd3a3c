"""Probes and schedules."""

import re
from collections.abc import Iterator
from zoneinfo import available_timezones

from tests.k8s.manifests import Object, of_kind, pods, title

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
_FIELDS = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of month", 1, 31),
    ("month", 1, 12),
    ("day of week", 0, 7),
)
_PART = re.compile(r"(?:\*|(\d+)(?:-(\d+))?)(?:/(\d+))?")


def probes(objects: list[Object]) -> Iterator[str]:
    for pod in pods(objects):
        if pod.kind == "CronJob":
            continue
        for container in pod.spec["containers"]:
            for name in PROBES:
                probe = container.get(name)
                if probe is None:
                    yield f"{pod.owner}: {container['name']} has no {name}"
                    continue
                port = (probe.get("httpGet") or probe.get("tcpSocket") or {}).get("port")
                if port is not None and port not in pod.ports:
                    yield f"{pod.owner}: the {name} asks the undeclared port {port}"


def scraped_ports(objects: list[Object]) -> Iterator[str]:
    for pod in pods(objects):
        port = pod.annotations.get("prometheus.io/port")
        if port is not None and int(port) not in pod.ports:
            yield f"{pod.owner}: Prometheus would ask the undeclared port {port}"


def schedules(objects: list[Object]) -> Iterator[str]:
    for item in of_kind(objects, "CronJob"):
        spec = item["spec"]
        fields = spec["schedule"].split()
        if len(fields) != len(_FIELDS):
            yield f"{title(item)}: the schedule {spec['schedule']!r} has {len(fields)} fields"
            continue
        for text, (name, low, high) in zip(fields, _FIELDS, strict=True):
            if not all(_valid(part, low, high) for part in text.split(",")):
                yield f"{title(item)}: {text!r} is no {name}"
        if spec.get("timeZone") not in available_timezones():
            yield f"{title(item)}: unknown time zone {spec.get('timeZone')!r}"
        if spec.get("concurrencyPolicy") != "Forbid":
            yield f"{title(item)}: two runs could overlap"
        if "activeDeadlineSeconds" not in spec["jobTemplate"]["spec"]:
            yield f"{title(item)}: a hanging job would never end"


def shutdown(objects: list[Object]) -> Iterator[str]:
    """The grace period must outlast the pause before the stop signal."""
    for pod in pods(objects):
        grace = pod.spec.get("terminationGracePeriodSeconds", 30)
        for container in pod.spec["containers"]:
            hook = container.get("lifecycle", {}).get("preStop", {})
            pause = hook.get("sleep", {}).get("seconds", 0)
            if pause >= grace:
                yield f"{pod.owner}: sleeps {pause} s of {grace} s before it stops"


def _valid(part: str, low: int, high: int) -> bool:
    found = _PART.fullmatch(part)
    if found is None:
        return False
    first, last, step = (int(group) if group else None for group in found.groups())
    ends = [value for value in (first, last) if value is not None]
    ordered = last is None or (first is not None and first <= last)
    return all(low <= value <= high for value in ends) and ordered and step != 0


CHECKS = (probes, scraped_ports, schedules, shutdown)
