"""Quantities, requests and limits."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from tests.k8s.manifests import Object, of_kind, pods, title

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
_FACTOR = {"": Decimal(1), "m": Decimal("0.001")} | {
    f"{prefix}{i}": Decimal(1024 if i else 1000) ** power
    for power, prefix in enumerate("KMGTPE", start=1)
    for i in ("i", "")
}


def quantity(value: str | int | float) -> Decimal:
    """Value of a Kubernetes quantity in its base unit.

    Raises:
        ValueError: It is none.
    """
    found = _QUANTITY.fullmatch(str(value))
    if found is None:
        raise ValueError(f"{value!r} is not a quantity")
    unit = found[2] or ""
    return Decimal(found[1]) * _FACTOR["K" if unit == "k" else unit]


def quantities(objects: list[Object]) -> Iterator[str]:
    for owner, values in _quantities(objects):
        for name, value in values.items():
            try:
                positive = quantity(value) > 0
            except ValueError as error:
                yield f"{owner}: {name}: {error}"
                continue
            if not positive:
                yield f"{owner}: {name} must be positive"


def requests_and_limits(objects: list[Object]) -> Iterator[str]:
    for pod in pods(objects):
        for container in pod.containers:
            requests = container.get("resources", {}).get("requests", {})
            limits = container.get("resources", {}).get("limits", {})
            for name in ("cpu", "memory"):
                if name not in requests or name not in limits:
                    yield f"{pod.owner}: {container['name']} lacks a request or limit of {name}"
            for name in set(requests) & set(limits):
                try:
                    larger = quantity(requests[name]) > quantity(limits[name])
                except ValueError:
                    continue
                if larger:
                    yield f"{pod.owner}: {container['name']} requests more {name} than its limit"


def bounded_scratch(objects: list[Object]) -> Iterator[str]:
    for pod in pods(objects):
        for volume in pod.spec.get("volumes", []):
            if "emptyDir" in volume and "sizeLimit" not in (volume["emptyDir"] or {}):
                yield f"{pod.owner}: the emptyDir {volume['name']} has no sizeLimit"


def _quantities(objects: list[Object]) -> Iterator[tuple[str, dict[str, Any]]]:
    for pod in pods(objects):
        for container in pod.containers:
            for part in ("requests", "limits"):
                yield pod.owner, container.get("resources", {}).get(part, {})
        for volume in pod.spec.get("volumes", []):
            size = (volume.get("emptyDir") or {}).get("sizeLimit")
            if size is not None:
                yield pod.owner, {"sizeLimit": size}
    claims = [(title(c), c) for c in of_kind(objects, "PersistentVolumeClaim")]
    for item in of_kind(objects, "StatefulSet"):
        claims += [(title(item), c) for c in item["spec"].get("volumeClaimTemplates", [])]
    for owner, claim in claims:
        yield owner, claim["spec"]["resources"]["requests"]


CHECKS = (quantities, requests_and_limits, bounded_scratch)
