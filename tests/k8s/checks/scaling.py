"""Autoscalers and disruption budgets."""

from collections.abc import Iterator

from tests.k8s.manifests import Object, matches, named, of_kind, pods, title


def bounds(objects: list[Object]) -> Iterator[str]:
    for item in of_kind(objects, "HorizontalPodAutoscaler"):
        least, most = item["spec"].get("minReplicas", 1), item["spec"]["maxReplicas"]
        if not 1 <= least <= most:
            yield f"{title(item)}: minReplicas {least}, maxReplicas {most}"


def replicas_owned_once(objects: list[Object]) -> Iterator[str]:
    """A fixed number in the workload would undo the autoscaler at every apply."""
    for item in of_kind(objects, "HorizontalPodAutoscaler"):
        target = item["spec"]["scaleTargetRef"]
        if "replicas" in named(objects, target["kind"], target["name"])["spec"]:
            yield f"{title(item)}: its target fixes replicas"


def budgets(objects: list[Object]) -> Iterator[str]:
    scaled = {
        item["spec"]["scaleTargetRef"]["name"]: item["spec"].get("minReplicas", 1)
        for item in of_kind(objects, "HorizontalPodAutoscaler")
    }
    for item in of_kind(objects, "PodDisruptionBudget"):
        spec = item["spec"]
        if ("minAvailable" in spec) == ("maxUnavailable" in spec):
            yield f"{title(item)}: give one of minAvailable and maxUnavailable"
        if spec.get("maxUnavailable") in (0, "0%"):
            yield f"{title(item)}: no node could ever be drained"
        for pod in pods(objects):
            least = scaled.get(pod.owner.partition("/")[2], 1)
            if matches(spec["selector"], pod.labels) and spec.get("minAvailable", 0) >= least:
                yield f"{title(item)}: no node could be drained at {least} replicas"


CHECKS = (bounds, replicas_owned_once, budgets)
