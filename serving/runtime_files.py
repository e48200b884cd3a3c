"""The code that runs inside Triton, and its way into the model repository.

A served version never depends on a checkout that may change under it.
"""

import shutil
from pathlib import Path

import counterpoint
import serving

RUNTIME_FILES = (
    "counterpoint/__init__.py",
    "counterpoint/artifacts.py",
    "counterpoint/attributes.py",
    "counterpoint/errors.py",
    "counterpoint/item_features.py",
    "counterpoint/item_text.py",
    "counterpoint/live_exchange.py",
    "counterpoint/live_items.py",
    "counterpoint/live_replica.py",
    "counterpoint/live_store.py",
    "counterpoint/live_vectors.py",
    "counterpoint/plugins.py",
    "counterpoint/retrieval.py",
    "counterpoint/user_snapshot.py",
    "serving/__init__.py",
    "serving/engine/*.py",
    "serving/feature_connection.py",
    "serving/feature_server.py",
    "serving/fields.py",
    "serving/kept_tensors.py",
    "serving/known_users.py",
    "serving/models/__init__.py",
    "serving/observe/*.py",
    "serving/onnx_session.py",
    "serving/query.py",
    "serving/rules/*.py",
    "serving/spec.py",
)
"""What the runtime parts import (files or patterns); copied into each Python model beside its own
file."""


def copy(name: str, folder: Path) -> None:
    """Copy what a Python model runs.

    Args:
        name: The model.
        folder: Its version folder in the model repository.
    """
    roots = {"serving": Path(serving.__path__[0]), "counterpoint": Path(counterpoint.__path__[0])}
    for pattern in (*RUNTIME_FILES, f"serving/models/{name}.py"):
        package, _, rest = pattern.partition("/")
        for file in roots[package].glob(rest):
            target = folder / package / file.relative_to(roots[package])
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    shutil.copyfile(roots["serving"] / "backend" / "model.py", folder / "model.py")
