"""The component `trainjob` gives the step ``train`` what it uses, and nothing more."""

import re
from pathlib import Path

import pytest

from counterpoint import config as configuration
from counterpoint.config.trainjob import NodeConfig, TrainJobConfig
from counterpoint.encoder.trainjob_manifest import manifest
from counterpoint.errors import SetupError
from pipelines import placement
from tests.counterpoint.encoder import kube_api
from tests.counterpoint.encoder.kube_api import container, holds, pod
from tests.k8s.manifests import Object, named

PATH = re.compile(r"/(?:api|apis/([^/]+))/[^/]+/namespaces/[^/]+/([a-z]+)(?:/[^/]+(/[a-z]+)?)?")
VERBS = {"POST": "create", "DELETE": "delete"}


def rights(seen: list[tuple[str, str]]) -> set[tuple[str, str, str]]:
    """(API group, resource, verb) of requests, as Kubernetes authorises them."""
    found = set()
    for verb, path in seen:
        match = PATH.fullmatch(path)
        assert match is not None, path
        group, resource, sub = match.groups()
        many = path.endswith(f"/{resource}")
        read = "list" if many else "get"
        found.add((group or "", resource + (sub or ""), VERBS.get(verb, read)))
    return found


def test_the_role_is_what_the_client_does(rendered: dict[str, list[Object]]) -> None:
    with kube_api.serve() as (api, cluster):
        settings = TrainJobConfig(image="i", claim="c")
        job = manifest("x", settings, NodeConfig(), job=Path("/j"), target=Path("/r"))
        ended = {"exitCode": 1, "finishedAt": "2026-01-01T00:00:00Z"}
        api.pods = [pod("x-node-0-0-a", containerStatuses=container(terminated=ended))]
        api.statuses = [holds("Failed")]
        assert cluster.create(job) and cluster.find("x")
        assert cluster.pods("x") and cluster.log("x-node-0-0-a", lines=3) == []
        cluster.delete("x")
        used = rights(api.seen)
    role = named(rendered["prod+trainjob"], "Role", "counterpoint-trainjob")
    given = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert given == used


def test_it_is_given_to_the_account_of_the_steps(rendered: dict[str, list[Object]]) -> None:
    objects, cluster = rendered["prod+trainjob"], configuration.ClusterConfig()
    binding = named(objects, "RoleBinding", "counterpoint-trainjob")
    (subject,) = binding["subjects"]
    assert subject["name"] == cluster.service_account
    assert subject["namespace"] == binding["metadata"]["namespace"]
    account = named(objects, "ServiceAccount", TrainJobConfig().service_account)
    assert account["automountServiceAccountToken"] is False
    without = {item["metadata"]["name"] for item in rendered["prod"]}
    assert "counterpoint-trainjob" not in without


def test_the_job_mounts_the_state_where_the_steps_do() -> None:
    assert TrainJobConfig().mount_path == placement.STATE


@pytest.mark.parametrize(("verb", "pattern"), [("GET", "/pods$"), ("POST", "trainjobs")])
def test_a_missing_right_names_the_component(verb: str, pattern: str) -> None:
    with kube_api.serve() as (api, cluster):
        api.refused = {(verb, pattern): (403, "forbidden: no rights")}
        with pytest.raises(SetupError, match="k8s/components/trainjob") as caught:
            cluster.pods("x") if verb == "GET" else cluster.create({"metadata": {"name": "x"}})
    component = Path(str(caught.value).split(" gives")[0].rpartition(" ")[2])
    assert (component / "kustomization.yaml").is_file()
