"""Least privilege."""

import re
from collections.abc import Iterator

from tests.k8s.manifests import Object, of_kind, pods, title

SECRET = re.compile(r"password|passwd|secret|token|credential|api_?key", re.IGNORECASE)
ASSIGNMENT = re.compile(
    r"(password|passwd|requirepass|secret|api_?key)[\"']?\s*[:= ]\s*[\"']?[^\s\"'$#]", re.IGNORECASE
)

SPEAK_TO_THE_API = ("CronJob/triton-rollout",)


def pod_context(objects: list[Object]) -> Iterator[str]:
    for pod in pods(objects):
        context = pod.spec.get("securityContext", {})
        if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
            yield f"{pod.owner}: may run as root"
        if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{pod.owner}: no seccomp profile"
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.spec.get(key):
                yield f"{pod.owner}: {key}"
        for volume in pod.spec.get("volumes", []):
            if "hostPath" in volume:
                yield f"{pod.owner}: the volume {volume['name']} is a folder of the node"


def container_context(objects: list[Object]) -> Iterator[str]:
    for pod in pods(objects):
        for container in pod.containers:
            context = container.get("securityContext", {})
            where = f"{pod.owner}: {container['name']}"
            if context.get("allowPrivilegeEscalation") is not False:
                yield f"{where} may escalate its privileges"
            if context.get("privileged") or context.get("runAsUser", 1) == 0:
                yield f"{where} is privileged"
            if context.get("runAsNonRoot") is False:
                yield f"{where} may run as root"
            if context.get("readOnlyRootFilesystem") is not True:
                yield f"{where} may write its root file system"
            capabilities = context.get("capabilities", {})
            if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
                yield f"{where} keeps capabilities"


def api_tokens(objects: list[Object]) -> Iterator[str]:
    for pod in pods(objects):
        wanted = pod.owner in SPEAK_TO_THE_API
        if pod.spec.get("automountServiceAccountToken") is not wanted:
            yield f"{pod.owner}: its token for the Kubernetes API must be mounted: {wanted}"


def roles(objects: list[Object]) -> Iterator[str]:
    for item in of_kind(objects, "Role", "ClusterRole"):
        for rule in item["rules"]:
            if "*" in rule["verbs"] + rule["resources"] + rule["apiGroups"]:
                yield f"{title(item)}: a wildcard"
            if "secrets" in rule["resources"] and not rule.get("resourceNames"):
                yield f"{title(item)}: every secret of the namespace"


def no_secrets(objects: list[Object]) -> Iterator[str]:
    """Secret values come from the installation, never from the repository."""
    for item in of_kind(objects, "Secret"):
        yield f"{title(item)}: secrets are not kept in the repository"
    for item in of_kind(objects, "ConfigMap"):
        for key, text in item["data"].items():
            lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
            if any(ASSIGNMENT.search(line) for line in lines):
                yield f"{title(item)}: {key} holds a secret"
    for pod in pods(objects):
        for container in pod.containers:
            for variable in container.get("env", []):
                value = variable.get("value", "")
                if SECRET.search(variable["name"]) and value and not value.startswith("/"):
                    yield f"{pod.owner}: {variable['name']} holds a secret"


CHECKS = (pod_context, container_context, api_tokens, roles, no_secrets)
