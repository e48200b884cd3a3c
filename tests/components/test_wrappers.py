"""Rules every KFP wrapper keeps."""

import ast
from pathlib import Path

import pytest

from components.images import COMPONENTS

STEPS = sorted(step for steps in COMPONENTS.values() for step in steps)


@pytest.mark.parametrize("step", STEPS)
def test_a_wrapper_is_thin(step: str) -> None:
    source = Path("components", f"{step}.py").read_text()
    assert len(source.splitlines()) <= 40
    module = ast.parse(source)
    imported = {
        node.module.split(".")[0] if isinstance(node, ast.ImportFrom) and node.module else ""
        for node in module.body
        if isinstance(node, ast.ImportFrom | ast.Import)
    }
    assert imported == {"kfp", "components"}, "only kfp and the image at module level"
    assert "__future__" not in source


def test_every_image_group_names_components_that_exist() -> None:
    assert all(Path("components", f"{step}.py").is_file() for step in STEPS)
