"""Names, labels and API versions."""

import re
from collections import Counter
from collections.abc import Iterator

from tests.k8s.manifests import Object, of_kind, pods, title

PERMITTED = {
    ("v1", "ConfigMap"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("batch/v1", "CronJob"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("policy/v1", "PodDisruptionBudget"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
}
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
SERVICE = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
PORT = re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
PREFIX = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


def api_versions(objects: list[Object]) -> Iterator[str]:
    for item in objects:
        if (item["apiVersion"], item["kind"]) not in PERMITTED:
            yield f"{title(item)}: {item['apiVersion']} is not permitted"


def names(objects: list[Object]) -> Iterator[str]:
    for item in objects:
        rule = SERVICE if item["kind"] == "Service" else LABEL
        if not rule.fullmatch(item["metadata"]["name"]):
            yield f"{title(item)}: not a valid name"
    for pod in pods(objects):
        for name in [c["name"] for c in pod.containers] + [
            v["name"] for v in pod.spec.get("volumes", [])
        ]:
            if not LABEL.fullmatch(name):
                yield f"{pod.owner}: {name!r} is not a valid name"
        for port in pod.ports:
            if isinstance(port, str) and not PORT.fullmatch(port):
                yield f"{pod.owner}: {port!r} is not a valid port name"


def unique(objects: list[Object]) -> Iterator[str]:
    for name, count in Counter(map(title, objects)).items():
        if count > 1:
            yield f"{name}: defined {count} times"


def labels(objects: list[Object]) -> Iterator[str]:
    found = [(title(item), item["metadata"].get("labels", {})) for item in objects]
    found += [(pod.owner, pod.labels) for pod in pods(objects)]
    for owner, pairs in found:
        for key, value in pairs.items():
            prefix, _, name = key.rpartition("/")
            if (prefix and not PREFIX.fullmatch(prefix)) or not (name and VALUE.fullmatch(name)):
                yield f"{owner}: {key!r} is not a valid label"
            if not VALUE.fullmatch(value):
                yield f"{owner}: {value!r} is not a valid label value"


def one_namespace(objects: list[Object]) -> Iterator[str]:
    namespaces = {item["metadata"].get("namespace") for item in objects}
    if len(namespaces) != 1 or None in namespaces:
        yield f"objects lie in {sorted(map(str, namespaces))}, one namespace is expected"
    for item in of_kind(objects, "RoleBinding"):
        for subject in item["subjects"]:
            if subject.get("namespace") not in namespaces:
                yield f"{title(item)}: its subject lies in {subject.get('namespace')}"


CHECKS = (api_versions, names, unique, labels, one_namespace)
