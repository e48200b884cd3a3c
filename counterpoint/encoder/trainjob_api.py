"""TrainJobs and their pods through the Kubernetes API, with errors that say what to do."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from counterpoint.encoder.trainjob_manifest import GROUP, KIND, NODE, PLURAL, VERSION
from counterpoint.errors import CounterpointError, ServerError, SetupError

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes puts the service account of a pod."""

TIMEOUT_S: Final = 30.0

RIGHTS: Final = (
    "k8s/components/trainjob gives the pipeline's account what it needs: name it under "
    "'components' of the overlay and apply it"
)


class TrainJobs:
    """The TrainJobs of one namespace.

    Args:
        api: ``kubernetes.client.ApiClient``.
        namespace: Theirs.
    """

    def __init__(self, api: Any, namespace: str) -> None:
        from kubernetes import client

        self.namespace = namespace
        self._api = api
        self._objects = client.CustomObjectsApi(api)
        self._core = client.CoreV1Api(api)
        self._where = {
            "group": GROUP,
            "version": VERSION,
            "namespace": namespace,
            "plural": PLURAL,
        }

    def create(self, manifest: dict[str, Any]) -> bool:
        """Create a TrainJob; return False if one of that name is there already.

        Raises:
            SetupError: The cluster does not know, refuse or forbids it.
            ServerError: The cluster gives no answer.
        """
        answer = self._call(
            "create",
            lambda: self._objects.create_namespaced_custom_object(
                **self._where,
                body=manifest,
                # Otherwise a cluster with an older API drops unknown fields, the volume with them.
                field_validation="Strict",
                _request_timeout=TIMEOUT_S,
            ),
            allow=409,
        )
        return answer is not None

    def find(self, name: str) -> dict[str, Any] | None:
        """Return a TrainJob, or None if there is none of that name."""
        found: dict[str, Any] | None = self._call(
            "get",
            lambda: self._objects.get_namespaced_custom_object(
                **self._where, name=name, _request_timeout=TIMEOUT_S
            ),
            allow=404,
        )
        return found

    def delete(self, name: str) -> None:
        """Delete a TrainJob with its pods; one that is gone already is no fault."""
        self._call(
            "delete",
            lambda: self._objects.delete_namespaced_custom_object(
                **self._where,
                name=name,
                propagation_policy="Foreground",
                _request_timeout=TIMEOUT_S,
            ),
            allow=404,
        )

    def pods(self, name: str) -> list[dict[str, Any]]:
        """Return the pods of a TrainJob."""
        found = self._call(
            "list the pods of",
            lambda: self._core.list_namespaced_pod(
                self.namespace,
                label_selector=f"jobset.sigs.k8s.io/jobset-name={name}",
                _request_timeout=TIMEOUT_S,
            ),
        )
        pods: list[dict[str, Any]] = self._api.sanitize_for_serialization(found)["items"]
        return pods

    def log(self, pod: str, *, lines: int) -> list[str]:
        """Return the last lines that a pod said; none if it never ran."""
        answer = self._call(
            "read the log of a pod of",
            lambda: self._core.read_namespaced_pod_log(
                pod,
                self.namespace,
                container=NODE,
                tail_lines=lines,
                _request_timeout=TIMEOUT_S,
                # The client takes a line such as ``{}`` for JSON.
                _preload_content=False,
            ),
            # 400: its container waits to start.
            allow=(400, 404),
        )
        return [] if answer is None else answer.data.decode("utf-8", "replace").splitlines()

    def _call(
        self, doing: str, request: Callable[[], Any], *, allow: int | tuple[int, ...] = ()
    ) -> Any:
        """Return the answer, or None where its status is allowed."""
        import urllib3
        from kubernetes.client.exceptions import ApiException

        try:
            return request()
        except ApiException as error:
            if error.status in ((allow,) if isinstance(allow, int) else allow):
                return None
            raise self._fault(doing, error.status, _message(error)) from None
        except urllib3.exceptions.HTTPError as error:
            raise ServerError(
                f"The Kubernetes API gives no answer to: {doing} a {KIND} in namespace "
                f"{self.namespace} ({error}). Check that the pod may reach it."
            ) from None

    def _fault(self, doing: str, status: int, message: str) -> CounterpointError:
        what = f"{doing} a {KIND} in namespace {self.namespace}"
        # An admission webhook refuses with the status of a missing right.
        if status == 403 and "admission webhook" not in message:
            return SetupError(
                f"The service account of this pod may not {what}: {message}. {RIGHTS}."
            )
        if status == 404:
            return SetupError(
                f"The cluster cannot {what}: {message}. It needs Kubeflow Trainer 2.2 or later "
                f"({GROUP}/{VERSION}) and the namespace; without them unset "
                "train.encoder.tune.trainjob and train on one machine."
            )
        if status in (400, 403, 422):
            return SetupError(
                f"The cluster refuses to {what}: {message}. An unknown field means a Kubeflow "
                "Trainer before 2.2; anything else stands under train.encoder.tune.trainjob."
            )
        return ServerError(f"The Kubernetes API failed to {what}: {status} {message}")


def in_cluster(namespace: str | None, *, account: Path = ACCOUNT) -> TrainJobs:
    """Return the TrainJobs of the cluster that this process runs in.

    Args:
        namespace: Theirs; None: that of this pod.
        account: Folder of the service account.

    Raises:
        SetupError: There is no client library, or this is no pod with a service account.
    """
    try:
        from kubernetes import client
        from kubernetes.config import ConfigException, incluster_config
    except ImportError:
        raise SetupError(
            "train.encoder.tune.trainjob needs the Python package 'kubernetes', which is not "
            "installed here. Use the project's image of the step train, or install the extra "
            "'pipelines'."
        ) from None
    configuration = client.Configuration()
    try:
        incluster_config.InClusterConfigLoader(
            token_filename=str(account / "token"), cert_filename=str(account / "ca.crt")
        ).load_and_set(configuration)
        own = (account / "namespace").read_text("utf-8").strip()
    except (ConfigException, OSError) as error:
        raise SetupError(
            f"train.encoder.tune.trainjob is set, but this process is no pod of a cluster with a "
            f"service account ({error}). Run the pipeline on Kubeflow, or unset it and give "
            "train.encoder.tune.processes."
        ) from None
    return TrainJobs(client.ApiClient(configuration), namespace or own)


def _message(error: Any) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (ValueError, KeyError, TypeError):
        return str(error.reason)
