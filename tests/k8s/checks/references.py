"""Objects that name other objects."""

from collections.abc import Iterator
from typing import Any

from tests.k8s.manifests import Object, Pod, named, of_kind, pods, title

BY_HAND = {
    "redis-auth": {"password"},
    "triton-tls": {"tls.crt", "tls.key", "ca.crt"},
    "triton-tokens": {"inference", "admin"},
}
"""Secrets that the installation makes (docs/kubernetes.md): name -> keys."""


def service_accounts(objects: list[Object]) -> Iterator[str]:
    known = {item["metadata"]["name"] for item in of_kind(objects, "ServiceAccount")}
    for pod in pods(objects):
        name = pod.spec.get("serviceAccountName", "default")
        if name not in known:
            yield f"{pod.owner}: unknown ServiceAccount {name}"
    roles = {item["metadata"]["name"] for item in of_kind(objects, "Role")}
    for item in of_kind(objects, "RoleBinding"):
        if item["roleRef"]["kind"] != "Role" or item["roleRef"]["name"] not in roles:
            yield f"{title(item)}: unknown Role {item['roleRef']['name']}"
        for subject in item["subjects"]:
            if subject["kind"] != "ServiceAccount" or subject["name"] not in known:
                yield f"{title(item)}: unknown ServiceAccount {subject['name']}"


def volumes(objects: list[Object]) -> Iterator[str]:
    claims = {item["metadata"]["name"] for item in of_kind(objects, "PersistentVolumeClaim")}
    for pod in pods(objects):
        declared = [volume["name"] for volume in pod.spec.get("volumes", [])]
        declared += _claim_templates(objects, pod)
        mounted = {m["name"] for c in pod.containers for m in c.get("volumeMounts", [])}
        for name in sorted(mounted - set(declared)):
            yield f"{pod.owner}: mounts the unknown volume {name}"
        for name in sorted(set(declared) - mounted):
            yield f"{pod.owner}: no container mounts the volume {name}"
        if len(declared) != len(set(declared)):
            yield f"{pod.owner}: a volume is declared twice"
        for volume in pod.spec.get("volumes", []):
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            if claim is not None and claim not in claims:
                yield f"{pod.owner}: unknown PersistentVolumeClaim {claim}"
        for container in pod.containers:
            paths = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
            if len(paths) != len(set(paths)):
                yield f"{pod.owner}: two volumes at one mount path"


def config_maps(objects: list[Object]) -> Iterator[str]:
    known = {item["metadata"]["name"]: item["data"] for item in of_kind(objects, "ConfigMap")}
    for owner, source in _sources(objects, "configMap", "configMapKeyRef", "configMapRef"):
        if source["name"] not in known:
            yield f"{owner}: unknown ConfigMap {source['name']}"
        elif "key" in source and source["key"] not in known[source["name"]]:
            yield f"{owner}: ConfigMap {source['name']} has no key {source['key']}"


def secrets(objects: list[Object]) -> Iterator[str]:
    for owner, source in _sources(objects, "secret", "secretKeyRef", "secretRef"):
        name = source.get("name") or source["secretName"]
        if name not in BY_HAND:
            yield f"{owner}: unknown Secret {name}"
        elif "key" in source and source["key"] not in BY_HAND[name]:
            yield f"{owner}: Secret {name} has no key {source['key']}"


def scale_targets(objects: list[Object]) -> Iterator[str]:
    known = {(item["apiVersion"], *title(item).split("/")) for item in objects}
    for item in of_kind(objects, "HorizontalPodAutoscaler"):
        target = item["spec"]["scaleTargetRef"]
        if (target["apiVersion"], target["kind"], target["name"]) not in known:
            yield f"{title(item)}: unknown target {target['kind']}/{target['name']}"


def governing_services(objects: list[Object]) -> Iterator[str]:
    headless = {
        item["metadata"]["name"]
        for item in of_kind(objects, "Service")
        if item["spec"].get("clusterIP") == "None"
    }
    for item in of_kind(objects, "StatefulSet"):
        if item["spec"]["serviceName"] not in headless:
            yield f"{title(item)}: no headless Service {item['spec']['serviceName']}"


def _claim_templates(objects: list[Object], pod: Pod) -> list[str]:
    if pod.kind != "StatefulSet":
        return []
    owner = named(objects, "StatefulSet", pod.owner.partition("/")[2])
    return [claim["metadata"]["name"] for claim in owner["spec"].get("volumeClaimTemplates", [])]


def _sources(
    objects: list[Object], volume_key: str, env_key: str, all_key: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every place in a pod that names a ConfigMap or a Secret."""
    for pod in pods(objects):
        for volume in pod.spec.get("volumes", []):
            parts = [volume, *volume.get("projected", {}).get("sources", [])]
            yield from ((pod.owner, part[volume_key]) for part in parts if volume_key in part)
        for container in pod.containers:
            for variable in container.get("env", []):
                source = variable.get("valueFrom", {}).get(env_key)
                if source is not None:
                    yield pod.owner, source
            for group in container.get("envFrom", []):
                if all_key in group:
                    yield pod.owner, group[all_key]


CHECKS = (service_accounts, volumes, config_maps, secrets, scale_targets, governing_services)
