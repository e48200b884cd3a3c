"""Several processes do together what one does alone."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.distributed.tensor import DTensor

from counterpoint.config.encoder import EncoderConfig, TuneConfig, WeightsConfig
from counterpoint.encoder import contrast, ranks, sharding
from counterpoint.encoder.loading import load_backbone
from counterpoint.encoder.ranks import Ranks
from counterpoint.encoder.reader import Reader
from counterpoint.encoder.tokens import tokenise
from counterpoint.encoder.trainable import choose
from counterpoint.errors import SetupError
from counterpoint.sharded import whole
from tests.counterpoint.encoder import shelves, test_tuning, tiny

TEXTS = ["space war", "a farm story of the cow", "love", "crime city police", "star ship", "heart"]
PAIRS = contrast.Positives(
    torch.tensor([0, 1, 4]),
    torch.tensor([4, 3, 2]),
    torch.zeros(3, 6, dtype=torch.bool).index_put(
        (torch.arange(3), torch.tensor([5, 1, 0])), torch.tensor(True)
    ),
)


def gradients(folder: Path, target: Path, method: str, sharded: bool = False) -> None:
    """Write the loss, the gradients of one step and the vectors of all texts as safetensors."""
    tower, tokenizer = load_backbone(EncoderConfig(model=str(folder), cache=str(folder)))
    trainable = choose(tower, WeightsConfig(method=method, layers=None), seed=0)
    trainable.tower.eval()
    group = ranks.current()
    if sharded:
        sharding.shard(trainable, group, torch.device("cpu"))
    reader = Reader(
        trainable,
        tokenise(TEXTS, tokenizer, max_tokens=16, rows=group.share(np.arange(len(TEXTS)))),
        # As few as two texts a pass, so that the processes need different numbers of passes.
        TuneConfig(chunk_tokens=64).model_copy(update={"chunk_tokens": 10}),
        device=torch.device("cpu"),
        ranks=group,
    )
    with reader.open():
        loss = reader.backward(
            np.arange(5), lambda v: contrast.info_nce(v, small(PAIRS), temperature=0.1)
        )
        vectors = reader.all()
    weights = trainable.parameters()
    if not sharded:
        group.sum_gradients(list(weights.values()))
    kept = {n: whole(w.grad) for n, w in weights.items() if w.grad is not None}
    if group.rank == 0:
        found = {name: value for name, value in kept.items() if value.any()}
        held = sum(
            w.to_local().numel() if isinstance(w, DTensor) else w.numel() for w in weights.values()
        )
        save_file(
            found | {"loss": loss.reshape(1), "vectors": vectors}, target, {"held": str(held)}
        )


def small(pairs: contrast.Positives) -> contrast.Positives:
    return contrast.Positives(pairs.anchor, pairs.positive, pairs.blocked[:, :5])


WORKER = """
import sys
from pathlib import Path
import torch.distributed as dist
from tests.counterpoint.encoder import test_ranks
dist.init_process_group("gloo")
test_ranks.gradients(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4] == "True")
dist.destroy_process_group()
"""


def held(path: Path) -> int:
    """How many weights the first process held."""
    with safe_open(path, framework="pt") as stored:
        return int(stored.metadata()["held"])


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("kind", "method", "world", "sharded"),
    [
        ("bert", "full", 2, True),
        pytest.param("qwen2", "lora", 2, False, marks=SLOW),
        pytest.param("bert", "full", 2, False, marks=SLOW),
        pytest.param("bert", "full", 3, False, marks=SLOW),
        pytest.param("bert", "last", 3, True, marks=SLOW),
        pytest.param("qwen2", "lora", 2, True, marks=SLOW),
    ],
)
def test_gloo_processes_give_the_loss_and_gradients_of_one(
    tmp_path: Path, kind: str, method: str, world: int, sharded: bool
) -> None:
    folder = tiny.save(tmp_path / "tiny", kind)
    gradients(folder, tmp_path / "one.safetensors", method)
    worker = tmp_path / "worker.py"
    worker.write_text(WORKER)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*torchrun, f"--nproc-per-node={world}", str(worker), str(folder)]
    many = tmp_path / "many.safetensors"
    # The worker is a file elsewhere: without this it would not find the tests.
    command += [str(many), method, str(sharded)]
    found_from = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=found_from)
    assert done.returncode == 0, done.stderr
    one, found = load_file(tmp_path / "one.safetensors"), load_file(many)
    share = held(many) / held(tmp_path / "one.safetensors")
    # Rows do not always divide evenly, and the first process has the larger part.
    assert 1 / world <= share < 1.2 / world if sharded else share == 1
    assert set(one) == set(found) and len(one) > 15
    for name, value in one.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)


def test_every_text_belongs_to_one_process() -> None:
    rows = np.random.default_rng(0).permutation(11)
    parts = [Ranks(rank, 4).share(rows) for rank in range(4)]
    assert sorted(np.concatenate(parts)) == list(range(11))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    part = rows[3:8]
    assert [Ranks(rank, 4).share(part).tolist() for rank in range(4)] == [
        [row for row in part if row % 4 == rank] for rank in range(4)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("sharded", [False, True])
def test_the_training_run_starts_processes_itself(tmp_path: Path, sharded: bool) -> None:
    world, weights = shelves.shelves(), tiny.save(tmp_path / "tiny")
    quiet = {"token_dropout": 0.0, "max_steps": 20}
    several = {"processes": 2, "shard_weights": sharded}
    found = test_tuning.obtain(world, weights, tmp_path / "two", **several, **quiet)
    assert found.trained, found.report["why"]
    alone = test_tuning.obtain(world, weights, tmp_path / "one", **quiet)
    # Dropout differs between the processes, what is learned does not.
    assert found.report["frozen_ndcg@10"] == pytest.approx(alone.report["frozen_ndcg@10"], abs=1e-6)
    assert found.report["tuned_ndcg@10"] == pytest.approx(alone.report["tuned_ndcg@10"], abs=0.1)


@pytest.mark.slow
def test_processes_that_fail_are_reported(tmp_path: Path) -> None:
    weights = tiny.save(tmp_path / "tiny")
    bad = {"processes": 2, "learning_rate": 1e30, "patience": 99}
    with pytest.raises(SetupError, match="2 processes that train the text encoder ended with"):
        test_tuning.obtain(shelves.shelves(), weights, tmp_path, **bad)
