"""A version that is dropped is freed at once: no cycle waits for the garbage collector.

The served process freezes what it has loaded (serving/backend/model.py), so that a cycle would keep
a version in memory for ever.
"""

import gc
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from serving import repository
from serving.models import recommend
from serving.spec import Arrays


def test_a_version_is_freed_without_the_collector(folders: dict[str, Path], tmp_path: Path) -> None:
    options = {"version": "v1", "live_items": str(tmp_path / "items.sqlite")}
    models = tmp_path / "models"
    repository.write(folders["onnx"].parent, models, form="local", number=1, options=options)

    def call(
        model: str, inputs: Arrays, outputs: Sequence[str], *, number: int | None = None
    ) -> Arrays:
        raise AssertionError(model)

    gc.collect()
    gc.disable()
    try:
        front = recommend.Runtime(models / "recommend" / "1", options, call)
        front.execute([{"user_id": np.array([[b"anna"]], dtype=object)}])
        engine = weakref.ref(front._versions.current().champion.engine)
        catalogue = weakref.ref(engine().catalogue)  # type: ignore[union-attr]
        front.close()
        assert engine() is not None and catalogue() is not None
        del front
        assert engine() is None and catalogue() is None
    finally:
        gc.enable()
