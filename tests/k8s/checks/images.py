"""Image references."""

from collections.abc import Iterator

from tests.k8s.manifests import Object, pods


def pinned(objects: list[Object]) -> Iterator[str]:
    for pod in pods(objects):
        for container in pod.containers:
            image = container["image"]
            _, _, last = image.rpartition("/")
            name, separator, tag = last.partition("@" if "@" in last else ":")
            if not (name and separator and tag):
                yield f"{pod.owner}: {image} has no tag"
            elif tag == "latest":
                yield f"{pod.owner}: {image} moves"
            elif tag == "replace":
                yield f"{pod.owner}: {image} is a placeholder that the overlay did not replace"


CHECKS = (pinned,)
