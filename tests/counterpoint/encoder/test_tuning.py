import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from counterpoint import text_stage
from counterpoint.config.encoder import EncoderConfig
from counterpoint.encoder import TextEncoder
from counterpoint.encoder.loading import load_backbone, weights_hash
from counterpoint.errors import DataError
from counterpoint.item_catalogue import list_items
from counterpoint.tables import Tables
from counterpoint.text import item_texts
from tests.counterpoint.encoder import shelves, tiny

OBJECTIVES = {
    "regression": {"regression": 1.0},
    "pairs": {"regression": 0.0, "supervised": 1.0},
    "hard pairs": {
        "regression": 0.0,
        "supervised": 1.0,
        "hard_negatives": {"count": 2, "depth": 20, "refresh_steps": 10},
        "matryoshka": (8,),
    },
    "fgm": {"adversarial": {"method": "fgm"}},
    "pgd on pairs": {
        "regression": 0.0,
        "supervised": 1.0,
        "adversarial": {"method": "pgd", "steps": 2},
    },
}
KILLED_RUNS = OBJECTIVES | {"sharded": {"processes": 2, "shard_weights": True}}


@pytest.fixture(scope="module")
def world() -> Tables:
    return shelves.shelves()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("tiny"))


def obtain(world: Tables, backbone: Path, folder: Path, **tune) -> text_stage.Obtained:
    rows = list_items(world.interactions, world.items)
    config = shelves.config(backbone, folder / "cache", **tune)
    return text_stage.obtain(
        rows, item_texts(rows), world.interactions, config, workdir=folder / "work"
    )


@pytest.mark.parametrize("name", OBJECTIVES)
def test_new_items_are_ordered_better_after_training(
    world: Tables, weights: Path, tmp_path: Path, name: str
) -> None:
    found = obtain(world, weights, tmp_path, **OBJECTIVES[name])
    report = found.report
    assert found.trained and report["pays"], report["why"]
    assert report["tuned_ndcg@10"] > report["frozen_ndcg@10"] + 0.1
    assert report["difference"] > 2 * report["standard_error"]
    assert report["withheld_items"] == 32
    vectors = found.encoder.encode([f"story {shelf}" for shelf in shelves.TASTES], keep=False)
    assert found.encoder.weights_sha256 != weights_hash(
        load_backbone(EncoderConfig(model=str(weights), max_tokens=16))[0]
    )
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_dropout_views_pull_texts_apart(world: Tables, weights: Path, tmp_path: Path) -> None:
    only = {"regression": 0.0, "unsupervised": 1.0, "max_steps": 20}
    losses = obtain(world, weights, tmp_path, **only).report["curves"]["loss"]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


def test_an_equal_run_uses_what_is_there(
    world: Tables, weights: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = obtain(world, weights, tmp_path)
    caplog.set_level("INFO")
    before = time.monotonic()
    again = obtain(world, weights, tmp_path)
    assert "trained on the same before" in caplog.text and time.monotonic() - before < 5
    assert again.report == first.report
    assert again.encoder.weights_sha256 == first.encoder.weights_sha256
    # Neither where nor how it ran, but what it learned from and how, makes another encoder.
    obtain(world, weights, tmp_path, checkpoint_steps=3, activation_mb=0)
    assert len(list((tmp_path / "cache/trained").iterdir())) == 1
    other = shelves.shelves(seed=1)
    assert obtain(other, weights, tmp_path).report != first.report


def test_one_seed_gives_one_result(world: Tables, weights: Path, tmp_path: Path) -> None:
    short = {"max_steps": 10, "token_dropout": 0.2}
    state = torch.get_rng_state()
    one = obtain(world, weights, tmp_path / "a", **short).report
    assert torch.equal(torch.get_rng_state(), state)
    two = obtain(world, weights, tmp_path / "b", **short).report
    assert one["curves"] == two["curves"]


KILLED = """
import sys
from pathlib import Path
from tests.counterpoint.encoder import shelves, test_tuning
test_tuning.obtain(shelves.shelves(), Path(sys.argv[1]), Path(sys.argv[2]), **{tune!r})
"""


@pytest.mark.parametrize(
    "name",
    [
        "regression",
        pytest.param("hard pairs", marks=pytest.mark.slow),
        pytest.param("sharded", marks=pytest.mark.slow),
    ],
)
def test_a_run_killed_with_sigkill_continues_to_the_same_weights(
    world: Tables, weights: Path, tmp_path: Path, name: str
) -> None:
    tune = KILLED_RUNS[name] | {"checkpoint_steps": 10, "patience": 9}
    whole = obtain(world, weights, tmp_path / "whole", **tune)
    command = [sys.executable, "-c", KILLED.format(tune=tune), str(weights), str(tmp_path / "cut")]
    # A session of its own, so that the processes that it starts end with it.
    process = subprocess.Popen(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, start_new_session=True
    )
    work = tmp_path / "cut/work"
    end = time.monotonic() + 120
    while not list(work.glob("*/checkpoint.safetensors")):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "cut/cache/trained").exists()
    resumed = obtain(world, weights, tmp_path / "cut", **tune)
    assert resumed.report["curves"]["look_ndcg"] == whole.report["curves"]["look_ndcg"]
    assert resumed.report["curves"]["loss"] == whole.report["curves"]["loss"]
    assert resumed.encoder.weights_sha256 == whole.encoder.weights_sha256
    assert not list(work.iterdir())


def test_weights_are_kept_as_safetensors_that_load(
    world: Tables, weights: Path, tmp_path: Path
) -> None:
    found = obtain(
        world, weights, tmp_path, weights={"method": "lora", "layers": None}, learning_rate=2e-2
    )
    assert found.trained, found.report["why"]
    (folder,) = (tmp_path / "cache/trained").iterdir()
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= {
        p.name for p in folder.iterdir()
    }
    kept, given = load_file(folder / "model.safetensors"), load_file(weights / "model.safetensors")
    assert set(kept) == set(given)
    changed = {name for name in kept if not torch.equal(kept[name], given[name])}
    assert changed and all("encoder.layer" in name for name in changed)


def test_training_that_does_not_pay_is_not_used(weights: Path, tmp_path: Path) -> None:
    world = shelves.shelves()
    shuffled = world.items.with_columns(title=world.items["title"].shuffle(seed=5))
    found = obtain(
        Tables(world.interactions, shuffled, world.users), weights, tmp_path, max_steps=10
    )
    assert not found.trained and "does not clearly pay" in found.report["why"]
    plain = TextEncoder(found.encoder.config).encode(["space war"])
    np.testing.assert_array_equal(found.encoder.encode(["space war"]), plain)


@pytest.mark.parametrize("distinct", [0, 1])
def test_texts_that_are_all_alike_are_not_trained_on(
    world: Tables, weights: Path, tmp_path: Path, distinct: int, caplog
) -> None:
    title = "space war" if distinct else ""
    same = world.items.with_columns(title=np.array([title] * len(world.items)))
    rows = list_items(world.interactions, same)
    config = shelves.config(weights, tmp_path)
    texts = item_texts(rows)
    found = text_stage.obtain(rows, texts, world.interactions, config, workdir=tmp_path)
    assert not found.trained
    assert f"have {distinct} different text" in caplog.text


def test_a_loss_that_is_not_finite_names_what_to_change(
    world: Tables, weights: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"not finite at step \d+.*learning_rate"):
        obtain(world, weights, tmp_path, learning_rate=1e30, patience=99)


def test_the_report_is_json(world: Tables, weights: Path, tmp_path: Path) -> None:
    json.dumps(obtain(world, weights, tmp_path, max_steps=10).report, allow_nan=False)
