import os
from pathlib import Path

import pytest
import yaml

from tests.k8s.manifests import KUSTOMIZATIONS, Object, render

OVERLAYS = ("local", "prod", "prod+gpu", "prod+tls", "prod+trainjob")


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Object]]:
    """Objects of each overlay, and of the production overlay with each further component."""
    found = {name: render(KUSTOMIZATIONS / "overlays" / name) for name in ("local", "prod")}
    for component in ("gpu", "tls", "trainjob"):
        folder = tmp_path_factory.mktemp(f"prod-{component}").resolve()
        resources = [_relative(KUSTOMIZATIONS / "overlays" / "prod", folder)]
        components = [_relative(KUSTOMIZATIONS / "components" / component, folder)]
        # As in an overlay, whose namespace holds for what a component adds.
        kustomization = {
            "namespace": "counterpoint",
            "resources": resources,
            "components": components,
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), "utf-8")
        found[f"prod+{component}"] = render(folder)
    return found


def _relative(path: Path, start: Path) -> str:
    return os.path.relpath(path, start)
