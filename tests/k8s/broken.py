"""Broken manifests: the check that must find the fault, the mutation, a part of its message."""

from tests.k8s.mutations import Break, again, drop, extra, put, relabelled, without

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
    ("security.roles", drop("Role", "counterpoint-pipeline", "rules.3.resourceNames"), "every sec"),
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
