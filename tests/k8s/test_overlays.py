"""The overlays, and production with the GPU component, are what a cluster would take."""

import importlib
import inspect
import re

import kubernetes_validate
import pytest
import typer
import yaml

from counterpoint import config as configuration
from pipelines import placement
from pipelines.cli import app
from tests.k8s.checks import CHECKS
from tests.k8s.checks.network import allows
from tests.k8s.checks.references import BY_HAND
from tests.k8s.conftest import OVERLAYS
from tests.k8s.manifests import KUSTOMIZATIONS, ROOT, named, of_kind, pods, title

KUBERNETES = ("1.30", "1.37")
"""Oldest version with the preStop sleep on by default, and the newest with a schema."""


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("version", KUBERNETES)
def test_schema(rendered, overlay, version):
    objects = rendered[overlay]
    assert len(objects) >= 30
    for item in objects:
        # Raises on an unknown field, and SchemaNotFoundError on an unknown API version.
        kubernetes_validate.validate(item, version, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("check", CHECKS)
def test_check(rendered, overlay, check):
    assert list(CHECKS[check](rendered[overlay])) == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_flows(rendered, overlay):
    found = {pod.owner.partition("/")[2]: pod for pod in pods(rendered[overlay])}
    wanted = {
        ("triton", "feature-server", 6566),
        ("feature-server", "redis", 6379),
        ("triton", "live-items", 6567),
    }
    allowed = {
        (source, target, port)
        for source in found
        for target in found
        for port in found[target].ports.values()
        if allows(rendered[overlay], found[source], found[target], port)
    }
    assert allowed == wanted


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_configuration(rendered, overlay, tmp_path):
    """The configuration beside the monitoring run is valid and fits the objects."""
    objects = rendered[overlay]
    (text,) = named(objects, "ConfigMap", "counterpoint-config")["data"].values()
    path = tmp_path / "counterpoint.yaml"
    path.write_text(text, "utf-8")
    config = configuration.load([path])
    accounts = {item["metadata"]["name"] for item in of_kind(objects, "ServiceAccount")}
    assert config.cluster.service_account in accounts
    assert config.deploy.target == "cluster"
    for address in (config.deploy.feature_server, config.deploy.live_items_server):
        host, _, port = address.partition(":")
        service = named(objects, "Service", host)
        assert int(port) in [entry["port"] for entry in service["spec"]["ports"]]
    prefix = f"{config.cluster.registry}/" if config.cluster.registry else ""
    images = [c["image"] for pod in pods(objects) for c in pod.containers]
    own = [image for image in images if "counterpoint" in image]
    assert len(own) >= 6
    for image in own:
        assert image.startswith(f"{prefix}counterpoint-")
        assert image.endswith(f":{config.cluster.tag}")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_steps_and_servers_share_the_state(rendered, overlay):
    """Names that the compiled pipelines use are those of the objects."""
    objects = rendered[overlay]
    cluster = configuration.ClusterConfig()
    assert named(objects, "PersistentVolumeClaim", cluster.state_claim)
    assert "password" in BY_HAND[cluster.redis_secret]
    mounts = [
        mount["mountPath"]
        for pod in pods(objects)
        for container in pod.containers
        for mount in container.get("volumeMounts", [])
        if mount["name"] == "state"
    ]
    assert set(mounts) == {placement.STATE}


@pytest.mark.parametrize("overlay", ["local", "prod"])
def test_feature_store_gets_its_environment(rendered, overlay):
    """The server and the step ``features`` set what the store's configuration asks for."""
    config = configuration.load([KUSTOMIZATIONS / "overlays" / overlay / "counterpoint.yaml"])
    store = (ROOT / config.features.store).read_text("utf-8")
    wanted = set(re.findall(r"\$\{(\w+)\}", re.sub(r"#.*", "", store))) - {"STATE"}
    assert wanted == {"REDIS_PASSWORD"}
    address = yaml.safe_load(store)["online_store"]["connection_string"].partition(",")[0]
    host, _, port = address.partition(":")
    service = named(rendered[overlay], "Service", host)
    assert int(port) == service["spec"]["ports"][0]["port"]
    (server,) = (p for p in pods(rendered[overlay]) if p.owner == "Deployment/feature-server")
    assert wanted <= {variable["name"] for variable in server.spec["containers"][0]["env"]}
    (waited,) = (c["command"][-1] for c in server.containers if c["name"] == "wait-for-store")
    assert f"/app/{config.features.state}/current/feature_store.yaml" in waited
    dockerfile = (ROOT / "components" / "Dockerfile").read_text("utf-8")
    assert f'"feature_repo.server", "--state", "/app/{config.features.state}"' in dockerfile


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_commands(rendered, overlay):
    """What the pods run exists and takes the options they give."""
    commands = [
        container["command"]
        for pod in pods(rendered[overlay])
        for container in pod.containers
        if "counterpoint-" in container["image"] and container.get("command", ["sh"])[0] != "sh"
    ]
    programs = {command[0] if command[0] != "python" else command[2] for command in commands}
    wanted = {"counterpoint", "serving.pod_repository", "serving.rollout", "tritonserver"}
    assert programs == wanted
    for command in commands:
        if command[0] == "counterpoint":
            cli = typer.main.get_command(app)
            step = cli.commands[command[1]]
            context = step.make_context(command[1], list(command[2:]))
            assert context.params.get("pipeline", "monitoring") == "monitoring"
        elif command[0] == "python":
            module = importlib.import_module(command[2])
            given = {argument.partition("=")[0] for argument in command[3:]}
            known = set(re.findall(r'"(--[a-z-]+)"', inspect.getsource(module.main)))
            assert given <= known


def test_gpu_nodes(rendered):
    """Triton goes to the nodes that the step ``train`` goes to."""
    cluster = configuration.ClusterConfig()
    (pod,) = (p for p in pods(rendered["prod+gpu"]) if p.owner == "Deployment/triton")
    assert pod.spec["nodeSelector"] == cluster.gpu_node_selector
    (toleration,) = pod.spec["tolerations"]
    assert toleration["key"] == cluster.gpu_toleration_key
    assert toleration["effect"] == cluster.gpu_toleration_effect
    assert pod.spec["containers"][0]["resources"]["limits"][cluster.accelerator] == "1"


def test_base_owns_neither_namespace_nor_tag():
    files = [p for p in (KUSTOMIZATIONS / "base").rglob("*.yaml") if p.name != "kustomization.yaml"]
    assert len(files) >= 20
    for path in files:
        documents = list(yaml.safe_load_all(path.read_text("utf-8")))
        assert len(documents) == 1, f"{path}: one resource a file"
        assert "namespace" not in documents[0]["metadata"], path
        for pod in pods(documents):
            assert all(c["image"].endswith(":replace") for c in pod.containers), path


def test_every_file_is_used():
    """A manifest that no kustomization names would silently not exist on the cluster."""
    for folder in {path.parent for path in KUSTOMIZATIONS.rglob("*.yaml")}:
        kustomization = (folder / "kustomization.yaml").read_text("utf-8")
        for path in folder.iterdir():
            if path.is_file() and path.name != "kustomization.yaml":
                assert f" {path.name}" in kustomization, path


def test_secrets_are_documented():
    guide = (ROOT / "docs" / "kubernetes.md").read_text("utf-8")
    for name, keys in BY_HAND.items():
        assert f"create secret generic {name}" in guide
        for key in keys:
            assert f"--from-literal={key}=" in guide or f"--from-file={key}=" in guide


def test_objects_are_told_apart(rendered):
    assert {title(item) for item in rendered["prod"]} - {
        title(item) for item in rendered["local"]
    } >= {"HorizontalPodAutoscaler/triton", "PodDisruptionBudget/triton"}
