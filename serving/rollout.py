"""Brings the registry's versions into service on Kubernetes: a rolling replacement of the pods.

Runs as a CronJob: ``python -m serving.rollout --config counterpoint.yaml --deployment triton``.
The pointers of the registry (champion, canary, shadow) are the only source of truth, so that a
promotion by the pipeline and a rollback by hand take the same way. They go into an annotation of
the pod template, the champion's name alone or JSON (serving/pointers.py); a pod becomes ready only
with its models loaded, so a version that does not load replaces no pod.
"""

import argparse
import logging
import os
import ssl
from pathlib import Path

import httpx

from counterpoint import config as configuration
from counterpoint.errors import ServerError, SetupError
from serving.registry import Registry

logger = logging.getLogger(__name__)

ANNOTATION = "counterpoint.dev/version"
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes projects the service account of a pod: token, CA and namespace."""

TIMEOUT_S = 10.0


def roll_out(version: str, deployment: str, *, namespace: str, api: httpx.Client) -> bool:
    """Have a Deployment serve a version; nothing happens if it already does.

    Args:
        version: What to serve: a version of the registry, or several as JSON.
        deployment: Name of the Deployment.
        namespace: Its namespace.
        api: Client of the Kubernetes API, authorised to get and patch this Deployment.

    Returns:
        Whether a rollout was started.

    Raises:
        ServerError: The API cannot be reached or refuses.
    """
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{deployment}"
    try:
        answer = api.get(path).raise_for_status().json()
        template = answer["spec"]["template"].get("metadata", {})
        if template.get("annotations", {}).get(ANNOTATION) == version:
            return False
        change = {"spec": {"template": {"metadata": {"annotations": {ANNOTATION: version}}}}}
        headers = {"Content-Type": "application/merge-patch+json"}
        api.patch(path, json=change, headers=headers).raise_for_status()
    except httpx.HTTPStatusError as error:
        raise ServerError(
            f"Kubernetes refused {error.request.method} of Deployment {deployment} in {namespace}: "
            f"{error.response.status_code} {error.response.text[:200]}. Check that it exists and "
            "that the Role triton-rollout is bound to this service account."
        ) from None
    except (httpx.HTTPError, ValueError, LookupError) as error:
        raise ServerError(
            f"The Kubernetes API at {api.base_url} gave no usable answer: {error!r}. Check the "
            "network policy triton-rollout."
        ) from None
    return True


def in_cluster(account: Path = ACCOUNT) -> tuple[httpx.Client, str]:
    """Return a client of this cluster's API and the pod's namespace.

    Raises:
        SetupError: This is no pod with a service account token.
    """
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
    token = account / "token"
    if not host or not token.is_file():
        raise SetupError(
            f"There is no service account in {account}. serving.rollout runs as a pod of the "
            "cluster; by hand, set the annotation with kubectl (docs/kubernetes.md)."
        )
    client = httpx.Client(
        base_url=f"https://{host}:{os.environ.get('KUBERNETES_SERVICE_PORT', '443')}",
        headers={"Authorization": f"Bearer {token.read_text('utf-8').strip()}"},
        verify=ssl.create_default_context(cafile=str(account / "ca.crt")),
        timeout=TIMEOUT_S,
    )
    return client, (account / "namespace").read_text("utf-8").strip()


def main(arguments: list[str] | None = None) -> None:
    """Command line of the CronJob."""
    parser = argparse.ArgumentParser(description=roll_out.__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--deployment", required=True)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    pointers = Registry(configuration.load([options.config]).deploy.registry).pointers()
    if pointers is None:
        logger.info("The registry has no champion yet.")
        return
    for fault in pointers.faults:
        logger.error("%s", fault)
    wanted = pointers.text()
    client, namespace = in_cluster()
    with client:
        started = roll_out(wanted, options.deployment, namespace=namespace, api=client)
    logger.info("%s: %s.", wanted, "rollout started" if started else "in service")


if __name__ == "__main__":
    main()
