"""Network policies: who may talk to whom."""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.k8s.manifests import Object, Pod, matches, of_kind, pods, title

FOREIGN_PODS = (
    {"pipelines.kubeflow.org/v2_component": "true"},
    {"counterpoint.dev/triton-client": "true"},
    {"counterpoint.dev/feature-client": "true"},
)
"""Labels of pods in our namespace that others create: steps of a pipeline, clients (docs)."""


def policies_select(objects: list[Object]) -> Iterator[str]:
    for item in of_kind(objects, "NetworkPolicy"):
        if not any(matches(item["spec"]["podSelector"], pod.labels) for pod in pods(objects)):
            yield f"{title(item)}: selects no pod"


def peers_exist(objects: list[Object]) -> Iterator[str]:
    for item, _, _, peer in _peers(objects):
        if "podSelector" in peer and "namespaceSelector" not in peer:
            labels = [pod.labels for pod in pods(objects)] + list(FOREIGN_PODS)
            if not any(matches(peer["podSelector"], found) for found in labels):
                yield f"{title(item)}: no pod has {peer['podSelector']}"
        if peer.get("namespaceSelector") == {} and "podSelector" not in peer:
            yield f"{title(item)}: opens to every namespace"


def ports_exist(objects: list[Object]) -> Iterator[str]:
    for item, direction, rule, peer in _peers(objects):
        if direction == "egress" and ("podSelector" not in peer or "namespaceSelector" in peer):
            continue
        wanted = item["spec"]["podSelector"] if direction == "ingress" else peer["podSelector"]
        for pod in pods(objects):
            if not matches(wanted, pod.labels):
                continue
            for port in rule.get("ports", []):
                if port["port"] not in pod.ports:
                    yield f"{title(item)}: {pod.owner} has no port {port['port']}"


def denied_by_default(objects: list[Object]) -> Iterator[str]:
    for pod in pods(objects):
        for direction in ("Ingress", "Egress"):
            if not any(
                matches(item["spec"]["podSelector"], pod.labels)
                and direction in item["spec"]["policyTypes"]
                and not item["spec"].get(direction.lower())
                for item in of_kind(objects, "NetworkPolicy")
            ):
                yield f"{pod.owner}: no policy denies {direction.lower()} by default"


def rules_name_peers_and_ports(objects: list[Object]) -> Iterator[str]:
    """A rule without peers opens to everybody, one without ports opens every port."""
    for item in of_kind(objects, "NetworkPolicy"):
        for direction, key in (("ingress", "from"), ("egress", "to")):
            for rule in item["spec"].get(direction, []):
                if not rule.get(key):
                    yield f"{title(item)}: {direction} with everybody"
                if not rule.get("ports"):
                    yield f"{title(item)}: {direction} on every port"
                if direction.capitalize() not in item["spec"]["policyTypes"]:
                    yield f"{title(item)}: its {direction} rules do not count"


def allows(objects: list[Object], source: Pod, target: Pod, port: int) -> bool:
    """May a pod open a connection to a port of another pod of the same namespace?"""
    return _permits(objects, source, target.labels, "egress", port, target.ports) and _permits(
        objects, target, source.labels, "ingress", port, target.ports
    )


def _permits(
    objects: list[Object],
    pod: Pod,
    other: Mapping[str, str],
    direction: str,
    port: int,
    ports: Mapping[str | int, int],
) -> bool:
    policies = [
        item["spec"]
        for item in of_kind(objects, "NetworkPolicy")
        if matches(item["spec"]["podSelector"], pod.labels)
        and direction.capitalize() in item["spec"]["policyTypes"]
    ]
    if not policies:
        return True
    key = "from" if direction == "ingress" else "to"
    return any(
        matches(peer["podSelector"], other)
        for spec in policies
        for rule in spec.get(direction, [])
        for peer in rule[key]
        if "podSelector" in peer and "namespaceSelector" not in peer
        if any(ports.get(entry["port"]) == port for entry in rule["ports"])
    )


def _peers(
    objects: list[Object],
) -> Iterator[tuple[Object, str, dict[str, Any], dict[str, Any]]]:
    for item in of_kind(objects, "NetworkPolicy"):
        for direction, key in (("ingress", "from"), ("egress", "to")):
            for rule in item["spec"].get(direction, []):
                for peer in rule.get(key, []):
                    yield item, direction, rule, peer


CHECKS = (
    policies_select,
    peers_exist,
    ports_exist,
    denied_by_default,
    rules_name_peers_and_ports,
)
