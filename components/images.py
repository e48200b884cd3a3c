"""Container images of the pipeline's steps: component group -> image reference.

Nothing is read from the environment: ``ClusterConfig.registry`` and ``.tag`` decide where a
compiled pipeline finds its images, and ``components/build.sh`` builds them under the same names.
"""

import re
from collections.abc import Mapping
from typing import Final

from counterpoint import __version__
from counterpoint.errors import ConfigError

COMPONENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "data": ("ingest", "validate", "features"),
    "train": ("train", "evaluate", "gate", "export"),
    "serve": ("deploy",),
    "monitor": ("monitor",),
}
"""Image group -> the components that run in it; one target of ``components/Dockerfile`` each."""

# The grammar of the OCI distribution specification, without the digest algorithms nobody uses.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]+)?"
_REGISTRY = re.compile(rf"(?:{_HOST}|{_COMPONENT})(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def image(group: str, *, registry: str = "", tag: str = __version__) -> str:
    """Reference of the image in which the components of a group run.

    Args:
        group: One of ``COMPONENTS``.
        registry: Prefix of the name, such as ``registry.example.com/ml`` (podman's own store:
            ``localhost``); empty: the plain name ``counterpoint-<group>``.
        tag: Tag, or a digest as ``sha256:<64 hex digits>``.

    Raises:
        ConfigError: If the group is unknown, or registry or tag make no valid reference.
    """
    faults = []
    if group not in COMPONENTS:
        faults.append(
            f"Unknown image group {group!r}. Known groups: {', '.join(COMPONENTS)}. "
            "To add one, add it to COMPONENTS and a target of that name to components/Dockerfile."
        )
    if registry and not _REGISTRY.fullmatch(registry):
        faults.append(
            f"Image registry {registry!r} is no prefix of an image name. Expected "
            "[host[:port]/]path in lower case without a tag, or nothing for plain names."
        )
    if tag == "latest" or not (_TAG.fullmatch(tag) or _DIGEST.fullmatch(tag)):
        faults.append(
            f"Image tag {tag!r} does not pin an image. Expected a version such as "
            f"{__version__!r} or a digest sha256:<64 hex digits>; 'latest' is refused because a "
            "run in it cannot be repeated."
        )
    if faults:
        raise ConfigError(faults)
    repository = f"{registry}/counterpoint-{group}" if registry else f"counterpoint-{group}"
    return f"{repository}{'@' if _DIGEST.fullmatch(tag) else ':'}{tag}"
