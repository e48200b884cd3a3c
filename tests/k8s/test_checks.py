"""Every check finds the fault that it exists for, and finds it alone where that is possible."""

import copy
from collections.abc import Callable

import kubernetes_validate
import pytest

from tests.k8s.checks import CHECKS
from tests.k8s.checks.resources import quantity
from tests.k8s.manifests import Object, named, template

Break = Callable[[list[Object]], object]


def put(kind: str, name: str, path: str, value: object) -> Break:
    """Set one field; ``path`` has dots between keys and list indices."""

    def change(objects: list[Object]) -> None:
        *parents, last = (int(p) if p.isdigit() else p for p in path.split("."))
        node = named(objects, kind, name)
        for key in parents:
            node = node[key]
        if isinstance(node, list) and last == len(node):
            node.append(value)
        else:
            node[last] = value

    return change


def drop(kind: str, name: str, path: str) -> Break:
    def change(objects: list[Object]) -> None:
        *parents, last = (int(p) if p.isdigit() else p for p in path.split("."))
        node = named(objects, kind, name)
        for key in parents:
            node = node[key]
        del node[last]

    return change


def without(kind: str, name: str) -> Break:
    return lambda objects: objects.remove(named(objects, kind, name))


def again(kind: str, name: str) -> Break:
    return lambda objects: objects.append(copy.deepcopy(named(objects, kind, name)))


def extra(**item: object) -> Break:
    return lambda objects: objects.append(
        {"apiVersion": "v1", "metadata": {"name": "x", "namespace": "counterpoint"}} | item
    )


def relabelled(kind: str, name: str) -> Break:
    def change(objects: list[Object]) -> None:
        template(named(objects, kind, name))["metadata"]["labels"]["app.kubernetes.io/name"] = "x"

    return change


POD = "spec.template.spec"
BOX = f"{POD}.containers.0"
JOB = "spec.jobTemplate.spec.template.spec"
POLICY = "NetworkPolicy"
HPA = "HorizontalPodAutoscaler"
PDB = "PodDisruptionBudget"
ALL = {"ports": [{"port": "http"}]}
"""A rule without peers."""

BROKEN: list[tuple[str, Break, str]] = [
    ("identity.api_versions", put(HPA, "triton", "apiVersion", "autoscaling/v2beta2"), "permitted"),
    ("identity.api_versions", put("Role", "monitoring-run", "kind", "ClusterRole"), "permitted"),
    ("identity.names", put("Service", "redis", "metadata.name", "1redis"), "valid name"),
    ("identity.names", put("Deployment", "triton", "metadata.name", "Triton"), "valid name"),
    ("identity.names", put("Deployment", "triton", f"{BOX}.name", "a_b"), "valid name"),
    ("identity.names", put("Deployment", "triton", f"{BOX}.ports.0.name", "a" * 16), "port name"),
    ("identity.unique", again("Service", "triton-headless"), "2 times"),
    ("identity.labels", put("Service", "redis", "metadata.labels.a b", "x"), "valid label"),
    ("identity.labels", put("Service", "redis", "metadata.labels.a", "x/y"), "label value"),
    ("identity.one_namespace", drop("Service", "redis", "metadata.namespace"), "one namespace"),
    (
        "identity.one_namespace",
        put("RoleBinding", "monitoring-run", "subjects.0.namespace", "default"),
        "subject lies",
    ),
    ("images.pinned", put("Deployment", "triton", f"{BOX}.image", "triton:latest"), "moves"),
    ("images.pinned", put("Deployment", "triton", f"{BOX}.image", "host:5000/triton"), "no tag"),
    ("images.pinned", put("Deployment", "triton", f"{BOX}.image", "x:replace"), "placeholder"),
    ("network.policies_select", relabelled("StatefulSet", "redis"), "selects no pod"),
    ("network.peers_exist", relabelled("Deployment", "triton"), "no pod has"),
    (
        "network.peers_exist",
        put(POLICY, "redis", "spec.ingress.0.from.0", {"namespaceSelector": {}}),
        "every namespace",
    ),
    (
        "network.ports_exist",
        put(POLICY, "redis", "spec.ingress.0.ports.0.port", "http"),
        "no port http",
    ),
    (
        "network.ports_exist",
        put(POLICY, "triton", "spec.egress.0.ports.0.port", 1234),
        "no port 1234",
    ),
    ("network.denied_by_default", without(POLICY, "counterpoint-default-deny"), "no policy denies"),
    (
        "network.denied_by_default",
        put(POLICY, "counterpoint-default-deny", "spec.policyTypes", ["Ingress"]),
        "denies egress",
    ),
    ("network.rules_name_peers_and_ports", put(POLICY, "redis", "spec.ingress.0", ALL), "everyb"),
    (
        "network.rules_name_peers_and_ports",
        drop(POLICY, "redis", "spec.ingress.0.ports"),
        "every port",
    ),
    (
        "network.rules_name_peers_and_ports",
        put(POLICY, "triton", "spec.policyTypes", ["Ingress"]),
        "do not count",
    ),
    ("references.service_accounts", without("ServiceAccount", "triton"), "ServiceAccount triton"),
    ("references.service_accounts", without("Role", "monitoring-run"), "unknown Role"),
    ("references.volumes", drop("Deployment", "triton", f"{POD}.volumes.0"), "unknown volume"),
    ("references.volumes", drop("Deployment", "triton", f"{BOX}.volumeMounts.2"), "no container"),
    ("references.volumes", drop("StatefulSet", "redis", "spec.volumeClaimTemplates"), "unknown vo"),
    ("references.volumes", without("PersistentVolumeClaim", "counterpoint-state"), "VolumeClaim"),
    (
        "references.volumes",
        put("Deployment", "triton", f"{POD}.volumes.1.name", "models"),
        "declared twice",
    ),
    (
        "references.volumes",
        put("Deployment", "triton", f"{BOX}.volumeMounts.1.mountPath", "/models"),
        "one mount path",
    ),
    ("references.config_maps", without("ConfigMap", "counterpoint-config"), "unknown ConfigMap"),
    (
        "references.config_maps",
        put(
            "CronJob",
            "monitoring-run",
            f"{JOB}.containers.0.env.2",
            {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "y"}}},
        ),
        "unknown ConfigMap x",
    ),
    (
        "references.secrets",
        put("StatefulSet", "redis", f"{BOX}.env.0.valueFrom.secretKeyRef.name", "other"),
        "unknown Secret",
    ),
    (
        "references.secrets",
        put("StatefulSet", "redis", f"{BOX}.env.0.valueFrom.secretKeyRef.key", "other"),
        "no key",
    ),
    ("references.scale_targets", put(HPA, "triton", "spec.scaleTargetRef.name", "x"), "target"),
    ("references.governing_services", without("Service", "redis"), "no headless Service"),
    ("references.governing_services", drop("Service", "redis", "spec.clusterIP"), "no headless"),
    (
        "resources.quantities",
        put("Deployment", "triton", f"{BOX}.resources.limits.memory", "2GB"),
        "no",
    ),
    (
        "resources.quantities",
        put("PersistentVolumeClaim", "counterpoint-state", "spec.resources.requests.storage", "x"),
        "not a quantity",
    ),
    (
        "resources.quantities",
        put("Deployment", "triton", f"{BOX}.resources.requests.cpu", "0"),
        "positive",
    ),
    (
        "resources.requests_and_limits",
        put("Deployment", "triton", f"{BOX}.resources.requests.memory", "9Gi"),
        "more memory",
    ),
    (
        "resources.requests_and_limits",
        drop("Deployment", "triton", f"{BOX}.resources.limits.cpu"),
        "lacks",
    ),
    (
        "resources.bounded_scratch",
        put("Deployment", "triton", f"{POD}.volumes.1.emptyDir", {}),
        "sizeLimit",
    ),
    ("scaling.bounds", put(HPA, "triton", "spec.minReplicas", 7), "minReplicas 7"),
    ("scaling.replicas_owned_once", put("Deployment", "triton", "spec.replicas", 2), "fixes"),
    ("scaling.budgets", put(PDB, "triton", "spec.minAvailable", 1), "give one of"),
    ("scaling.budgets", put(PDB, "triton", "spec.maxUnavailable", 0), "ever be drained"),
    (
        "scaling.budgets",
        lambda objects: [
            drop(PDB, "triton", "spec.maxUnavailable")(objects),
            put(PDB, "triton", "spec.minAvailable", 2)(objects),
        ],
        "at 2 replicas",
    ),
    (
        "security.pod_context",
        put("StatefulSet", "redis", f"{POD}.securityContext.runAsUser", 0),
        "root",
    ),
    (
        "security.pod_context",
        drop("CronJob", "monitoring-run", f"{JOB}.securityContext.runAsNonRoot"),
        "root",
    ),
    (
        "security.pod_context",
        drop("Deployment", "triton", f"{POD}.securityContext.seccompProfile"),
        "seccomp",
    ),
    ("security.pod_context", put("Deployment", "triton", f"{POD}.hostNetwork", True), "hostNetw"),
    (
        "security.pod_context",
        put("Deployment", "triton", f"{POD}.volumes.1", {"name": "x", "hostPath": {"path": "/"}}),
        "folder of the node",
    ),
    *(
        (
            "security.container_context",
            put("Deployment", "triton", f"{BOX}.securityContext.{key}", value),
            fragment,
        )
        for key, value, fragment in (
            ("allowPrivilegeEscalation", True, "escalate"),
            ("privileged", True, "privileged"),
            ("runAsUser", 0, "privileged"),
            ("runAsNonRoot", False, "as root"),
            ("readOnlyRootFilesystem", False, "write its root"),
            ("capabilities.add", ["NET_ADMIN"], "keeps capabilities"),
            ("capabilities.drop", [], "keeps capabilities"),
        )
    ),
    (
        "security.api_tokens",
        drop("Deployment", "triton", f"{POD}.automountServiceAccountToken"),
        "must be mounted: False",
    ),
    ("security.roles", put("Role", "monitoring-run", "rules.0.verbs", ["*"]), "wildcard"),
    ("security.roles", drop("Role", "counterpoint-pipeline", "rules.2.resourceNames"), "every sec"),
    ("security.no_secrets", extra(kind="Secret", stringData={"a": "b"}), "not kept"),
    (
        "security.no_secrets",
        put("ConfigMap", "redis-config", "data.redis-conf", "requirepass hunter2"),
        "holds a secret",
    ),
    (
        "security.no_secrets",
        put("StatefulSet", "redis", f"{BOX}.env.0", {"name": "REDIS_PASSWORD", "value": "hunter2"}),
        "holds a secret",
    ),
    ("selectors.workloads", relabelled("Deployment", "triton"), "misses its own"),
    ("selectors.workloads", put("Deployment", "triton", "spec.selector", {}), "every pod"),
    ("selectors.services", relabelled("Deployment", "triton"), "stands before []"),
    ("selectors.services", put("Service", "triton", "spec.ports.0.targetPort", 1), "no port 1"),
    ("selectors.services", put("Service", "triton", "spec.ports.0.name", "grpc"), "one name"),
    ("selectors.budgets", relabelled("Deployment", "triton"), "selects no pod"),
    ("selectors.spread", relabelled("Deployment", "triton"), "other pods than its own"),
    ("workloads.probes", drop("Deployment", "triton", f"{BOX}.readinessProbe"), "readinessProbe"),
    (
        "workloads.probes",
        put("Deployment", "triton", f"{BOX}.livenessProbe.httpGet.port", "web"),
        "undeclared port web",
    ),
    ("workloads.scraped_ports", drop("Deployment", "triton", f"{BOX}.ports.2"), "8002"),
    ("workloads.schedules", put("CronJob", "monitoring-run", "spec.schedule", "1 2 3 4"), "4 fie"),
    ("workloads.schedules", put("CronJob", "monitoring-run", "spec.schedule", "60 * * * *"), "60"),
    (
        "workloads.schedules",
        put("CronJob", "monitoring-run", "spec.schedule", "0 5-2 * * *"),
        "5-2",
    ),
    (
        "workloads.schedules",
        put("CronJob", "monitoring-run", "spec.schedule", "*/0 * * * *"),
        "*/0",
    ),
    ("workloads.schedules", put("CronJob", "monitoring-run", "spec.timeZone", "Mars"), "Mars"),
    (
        "workloads.schedules",
        put("CronJob", "monitoring-run", "spec.concurrencyPolicy", "Allow"),
        "overlap",
    ),
    (
        "workloads.schedules",
        drop("CronJob", "monitoring-run", "spec.jobTemplate.spec.activeDeadlineSeconds"),
        "never end",
    ),
    (
        "workloads.shutdown",
        put("Deployment", "triton", f"{POD}.terminationGracePeriodSeconds", 5),
        "sleeps 5 s",
    ),
]


@pytest.mark.parametrize(
    ("check", "change", "fragment"),
    BROKEN,
    ids=[f"{check}-{fragment}" for check, _, fragment in BROKEN],
)
def test_finds_the_fault(rendered, check, change, fragment):
    objects = copy.deepcopy(rendered["prod"])
    assert list(CHECKS[check](objects)) == []
    change(objects)
    faults = list(CHECKS[check](objects))
    assert any(fragment in fault for fault in faults), faults


def test_every_check_is_tested():
    assert {check for check, _, _ in BROKEN} == set(CHECKS)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (put("Deployment", "triton", "spec.replica", 2), kubernetes_validate.ValidationError),
        (put("Deployment", "triton", "spec.replicas", "x"), kubernetes_validate.ValidationError),
        (
            put(HPA, "triton", "apiVersion", "autoscaling/v9"),
            kubernetes_validate.SchemaNotFoundError,
        ),
    ],
)
def test_the_schema_refuses(rendered, change, error):
    objects = copy.deepcopy(rendered["prod"])
    change(objects)
    with pytest.raises(error):
        for item in objects:
            kubernetes_validate.validate(item, "1.30", strict=True)


@pytest.mark.parametrize(
    ("text", "value"),
    [("500m", 0.5), ("2", 2), ("1.5", 1.5), ("1k", 1000), ("1Ki", 1024), ("2Gi", 2 * 2**30)],
)
def test_quantity(text, value):
    assert quantity(text) == value


@pytest.mark.parametrize("text", ["", "2GB", "1 Gi", "-1", "Gi", "1e"])
def test_no_quantity(text):
    with pytest.raises(ValueError, match="not a quantity"):
        quantity(text)
