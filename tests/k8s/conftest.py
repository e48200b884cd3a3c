import os
from pathlib import Path

import pytest
import yaml

from tests.k8s.manifests import KUSTOMIZATIONS, Object, render

OVERLAYS = ("local", "prod", "prod+gpu")


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Object]]:
    """Objects of each overlay, and of the production overlay with every component."""
    folder = tmp_path_factory.mktemp("prod-gpu").resolve()
    resources = [_relative(KUSTOMIZATIONS / "overlays" / "prod", folder)]
    components = [_relative(KUSTOMIZATIONS / "components" / "gpu", folder)]
    kustomization = {"resources": resources, "components": components}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), "utf-8")
    return {
        "local": render(KUSTOMIZATIONS / "overlays" / "local"),
        "prod": render(KUSTOMIZATIONS / "overlays" / "prod"),
        "prod+gpu": render(folder),
    }


def _relative(path: Path, start: Path) -> str:
    return os.path.relpath(path, start)
