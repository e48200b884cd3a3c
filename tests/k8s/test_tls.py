"""The component `tls` starts Triton as serving/access.py does on one machine."""

from pathlib import Path

from serving.access import Access
from tests.k8s.manifests import named, pods

TLS = (Path("/tls/tls.crt"), Path("/tls/tls.key"), Path("/tls/ca.crt"))


def command(rendered, overlay):
    (triton,) = (pod for pod in pods(rendered[overlay]) if pod.owner == "Deployment/triton")
    (container,) = triton.spec["containers"]
    return container["command"], container


def test_the_flags_are_those_of_the_local_server(rendered):
    local = Access(tls=TLS, inference="$(INFERENCE_TOKEN)", admin="$(ADMIN_TOKEN)", cache_mb=16)
    flags, _ = command(rendered, "prod+tls")
    wanted = {flag for flag in local.flags(Path("/caches")) if "--cache-directory" not in flag}
    # HTTP is closed with a random value there, with that for admin calls here.
    (closed,) = (flag for flag in wanted if flag.startswith("--http-restricted-api="))
    (ours,) = (flag for flag in flags if flag.startswith("--http-restricted-api="))
    assert wanted - {closed} <= set(flags)
    assert ours.rpartition("=")[0] == closed.rpartition("=")[0]


def test_without_the_component_the_flags_are_those_of_an_open_server(rendered):
    wanted = {f for f in Access(cache_mb=16).flags(Path("/c")) if "--cache-directory" not in f}
    assert wanted <= set(command(rendered, "prod")[0])


def test_plain_http_does_not_leave_the_pod(rendered):
    flags, container = command(rendered, "prod+tls")
    assert "--http-address=127.0.0.1" in flags
    assert "--metrics-address=0.0.0.0" in flags
    assert {port["name"] for port in container["ports"]} == {"grpc", "metrics"}
    service = named(rendered["prod+tls"], "Service", "triton")
    assert {port["name"] for port in service["spec"]["ports"]} == {"grpc", "metrics"}
    policy = named(rendered["prod+tls"], "NetworkPolicy", "triton")
    opened = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    assert opened == {"grpc", "metrics"}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert "http://127.0.0.1:8000/v2/health/" in container[probe]["exec"]["command"][-1]
