"""What a TrainJob and its pods say about themselves, in words."""

from typing import Any, Final

COMPLETE: Final = "Complete"
FAILED: Final = "Failed"

STARTING: Final = ("ContainerCreating", "PodInitializing")
"""Reasons to wait that need nobody's help."""

INDEX: Final = "batch.kubernetes.io/job-completion-index"
"""Label of a pod: which node it is."""


def condition(job: dict[str, Any], kind: str) -> str | None:
    """Return reason and message of a condition that holds, else None."""
    for found in job.get("status", {}).get("conditions", ()):
        if found["type"] == kind and found["status"] == "True":
            return f"{found.get('reason', kind)}: {found.get('message', '')}".rstrip(": ")
    return None


def finished(job: dict[str, Any]) -> str | None:
    """Return ``Complete`` or ``Failed``, or None while it is neither."""
    return next((kind for kind in (COMPLETE, FAILED) if condition(job, kind)), None)


def progress(job: dict[str, Any]) -> str:
    """Return in one line how far a TrainJob is."""
    suspended = condition(job, "Suspended")
    if suspended:
        return f"suspended ({suspended}); it goes on when its queue or its owner lets it"
    counts = [
        f"{part['name']}: "
        + ", ".join(f"{part.get(key, 0)} {key}" for key in ("active", "ready", "failed"))
        for part in job.get("status", {}).get("jobsStatus", ())
    ]
    return "; ".join(counts) or "not started yet"


def troubles(pods: list[dict[str, Any]]) -> list[str]:
    """Return why pods do not run: no node for them, no image, a missing claim or account."""
    found = []
    for pod in pods:
        name, status = pod["metadata"]["name"], pod.get("status", {})
        for entry in status.get("conditions", ()):
            if entry["type"] == "PodScheduled" and entry["status"] == "False":
                found.append(f"pod {name}: {entry.get('reason')}: {entry.get('message', '')}")
        for container in status.get("containerStatuses", ()):
            waiting = container.get("state", {}).get("waiting")
            if waiting and waiting.get("reason") not in STARTING:
                found.append(f"pod {name}: {waiting.get('reason')}: {waiting.get('message', '')}")
    return found


def first_failed(pods: list[dict[str, Any]]) -> str | None:
    """Return the pod whose process failed first: the others fail because of it."""
    ends = []
    for pod in pods:
        for container in pod.get("status", {}).get("containerStatuses", ()):
            for state in (container.get("state", {}), container.get("lastState", {})):
                ended = state.get("terminated")
                if ended and ended.get("exitCode"):
                    ends.append((ended.get("finishedAt") or "", pod["metadata"]["name"]))
    return min(ends)[1] if ends else None


def leader(pods: list[dict[str, Any]]) -> str | None:
    """Return the pod of node 0, whose first process reports."""
    for pod in pods:
        if pod["metadata"].get("labels", {}).get(INDEX) == "0":
            return str(pod["metadata"]["name"])
    return None
