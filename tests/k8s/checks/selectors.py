"""Label selectors and the ports behind them."""

from collections.abc import Iterator

from tests.k8s.manifests import Object, matches, of_kind, pods, template, title


def workloads(objects: list[Object]) -> Iterator[str]:
    for item in of_kind(objects, "Deployment", "StatefulSet"):
        labels = template(item)["metadata"].get("labels", {})
        if not item["spec"]["selector"].get("matchLabels"):
            yield f"{title(item)}: selects every pod"
        if not matches(item["spec"]["selector"], labels):
            yield f"{title(item)}: its selector misses its own pods"
        others = [p.owner for p in pods(objects) if matches(item["spec"]["selector"], p.labels)]
        if len(others) > 1:
            yield f"{title(item)}: selects the pods of {others}"


def services(objects: list[Object]) -> Iterator[str]:
    for item in of_kind(objects, "Service"):
        selector = {"matchLabels": item["spec"]["selector"]}
        behind = [pod for pod in pods(objects) if matches(selector, pod.labels)]
        if len(behind) != 1:
            yield f"{title(item)}: stands before {[pod.owner for pod in behind]}"
        names = [port["name"] for port in item["spec"]["ports"]]
        if len(set(names)) != len(names):
            yield f"{title(item)}: two ports of one name"
        for port in item["spec"]["ports"]:
            target = port.get("targetPort", port["port"])
            for pod in behind:
                if target not in pod.ports:
                    yield f"{title(item)}: {pod.owner} has no port {target}"


def budgets(objects: list[Object]) -> Iterator[str]:
    for item in of_kind(objects, "PodDisruptionBudget"):
        if not any(matches(item["spec"]["selector"], pod.labels) for pod in pods(objects)):
            yield f"{title(item)}: selects no pod"


def spread(objects: list[Object]) -> Iterator[str]:
    for pod in pods(objects):
        for constraint in pod.spec.get("topologySpreadConstraints", []):
            if not matches(constraint["labelSelector"], pod.labels):
                yield f"{pod.owner}: spreads other pods than its own"


CHECKS = (workloads, services, budgets, spread)
