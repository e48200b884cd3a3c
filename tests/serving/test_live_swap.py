"""Live items outlive a swap to a version with another encoder, without a restart."""

import time
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from serving import repository
from serving.engine import live_folder
from serving.engine.live_folder import Desired, Entry
from serving.in_process import InProcess
from tests.serving import several
from tests.serving.test_catalogue import ask, change, shown


def other_encoder(folders: dict[str, Path], target: Path) -> dict[str, Path]:
    """Copy a tiny version whose graph and encoder have other weights."""
    copied = several.differing(folders, target, seed=5)
    path = copied["onnx"] / "item_encoder" / "model.onnx"
    graph = onnx.load(path)
    for weights in graph.graph.initializer:
        if len(weights.dims) == 2:
            found = numpy_helper.to_array(weights)
            other = np.random.default_rng(5).normal(size=found.shape).astype(found.dtype)
            weights.CopyFrom(numpy_helper.from_array(other, weights.name))
    onnx.save(graph, path)
    return copied


def test_live_items_outlive_a_swap_to_another_encoder(folders, tmp_path: Path) -> None:
    other = other_encoder(folders, tmp_path / "other")
    live = tmp_path / "live"
    for name, found in (("one", folders), ("two", other)):
        payload = live_folder.payload(live, name)
        payload.mkdir(parents=True)
        repository.write_payload(found["onnx"].parent, payload, form="local")
    Desired(Entry("one", 1), loaded=()).write(live)
    options = {"live_items": str(tmp_path / "items.sqlite"), "live": str(live), "version": "one"}
    version = folders["onnx"].parent
    repository.write(
        version, tmp_path / "models", form="local", number=1, options=options, live=live
    )
    models = InProcess(tmp_path / "models", number=1, options=options)
    change(models, "add", {"item_id": "neu", "title": "drama space"})
    change(models, "remove", {"item_id": "e"})
    before = shown(ask(models, history=["a"]))
    Desired(Entry("two", 2)).write(live)
    ends = time.monotonic() + 60
    while ask(models)["model_version"] != ["two"] and time.monotonic() < ends:
        time.sleep(0.01)
    answer = ask(models, history=["a"])
    after = shown(answer)
    assert answer["model_version"] == ["two"]
    assert after.keys() == before.keys() and "neu" in after and "e" not in after
    assert abs(after["neu"] - before["neu"]) > 1e-3
    while True:
        (added,) = change(models, "add", {"item_id": f"later {time.monotonic()}", "title": "drama"})
        if added["model_version"] == "two" or time.monotonic() > ends:
            break
    assert added["model_version"] == "two"
    assert added["item_id"] in shown(ask(models, history=["a"], allow=[added["item_id"]]))
