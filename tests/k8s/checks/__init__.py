"""Faults that no schema finds. A check takes the objects of an overlay and yields its faults."""

from collections.abc import Callable, Iterable

from tests.k8s.checks import (
    identity,
    images,
    network,
    references,
    resources,
    scaling,
    security,
    selectors,
    workloads,
)
from tests.k8s.manifests import Object

Check = Callable[[list[Object]], Iterable[str]]

CHECKS: dict[str, Check] = {
    f"{module.__name__.rpartition('.')[2]}.{function.__name__}": function
    for module in (
        identity,
        images,
        network,
        references,
        resources,
        scaling,
        security,
        selectors,
        workloads,
    )
    for function in module.CHECKS
}
