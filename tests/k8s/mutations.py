"""Ways to break the objects of an overlay."""

import copy
from collections.abc import Callable

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
