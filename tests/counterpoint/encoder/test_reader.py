"""The fast ways of reading give what the plain way gives."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from counterpoint.config.encoder import EncoderConfig, TuneConfig, WeightsConfig
from counterpoint.encoder.loading import load_backbone
from counterpoint.encoder.reader import Reader
from counterpoint.encoder.tokens import TokenTable, tokenise
from counterpoint.encoder.trainable import Trainable, choose
from tests.counterpoint.encoder import tiny

TEXTS = [
    "space war",
    "a farm story of the cow and the field",
    "love",
    "crime city police thief",
    "star ship story : the war of the star and the cow",
    "kiss heart love",
]
ROWS = np.array([4, 0, 2, 5])


def opened(folder: Path, weights: WeightsConfig, **changes) -> tuple[Trainable, Reader]:
    settings = EncoderConfig(model=str(folder), cache=str(folder))
    tower, tokenizer = load_backbone(settings)
    table: TokenTable = tokenise(TEXTS, tokenizer, max_tokens=16)
    trainable = choose(tower, weights, seed=0)
    config = TuneConfig(weights=weights, **changes)
    return trainable, Reader(trainable, table, config, device=torch.device("cpu"))


def loss_of(vectors: Tensor) -> Tensor:
    return torch.log_softmax(vectors @ vectors.T * 3, dim=1)[:, 0].sum() + vectors[:, 3].sum()


def gradients(trainable: Trainable, reader: Reader, *, train: bool) -> tuple[float, list[Tensor]]:
    weights = trainable.parameters()
    for weight in weights.values():
        weight.grad = None
    trainable.tower.train(train)
    with reader.open():
        torch.manual_seed(3)
        loss = float(reader.backward(ROWS, loss_of))
    return loss, [weight.grad.clone() for weight in weights.values() if weight.grad is not None]


def assert_same(one: tuple[float, list[Tensor]], other: tuple[float, list[Tensor]]) -> None:
    assert one[0] == pytest.approx(other[0], rel=1e-5)
    assert len(one[1]) == len(other[1]) > 0
    for first, second in zip(one[1], other[1], strict=True):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-6)


def test_the_seed_alone_decides_how_adapters_begin(tmp_path: Path) -> None:
    folder = tiny.save(tmp_path)
    found = []
    for seed in (0, 0, 1):
        torch.rand(1)
        tower, _ = load_backbone(EncoderConfig(model=str(folder), cache=str(folder)))
        before = torch.get_rng_state()
        found.append(choose(tower, WeightsConfig(method="lora"), seed=seed).state_dict())
        assert torch.equal(torch.get_rng_state(), before)
    one, two, other = found
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    assert not all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("kind", tiny.KINDS)
@pytest.mark.parametrize("layers", [1, 2])
def test_kept_hidden_states_change_nothing(tmp_path: Path, kind: str, layers: int) -> None:
    folder = tiny.save(tmp_path, kind)
    weights = WeightsConfig(method="last", layers=layers)
    with torch.random.fork_rng():
        kept = opened(folder, weights)
        plain = opened(folder, weights, hidden_mb=0)
        assert_same(gradients(*kept, train=False), gradients(*plain, train=False))


@pytest.mark.parametrize("method", ["last", "lora", "full"])
def test_two_passes_give_the_gradients_of_one_with_dropout(tmp_path: Path, method) -> None:
    folder = tiny.save(tmp_path)
    weights = WeightsConfig(method=method)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        small = {"chunk_tokens": 64, "token_dropout": 0.3}
        trainable, reader = opened(folder, weights, **small)
        again = Reader(
            trainable,
            reader.table,
            TuneConfig(weights=weights, activation_mb=0, **small),
            device=torch.device("cpu"),
        )
        assert reader.passes(ROWS) > 1 or reader.table.lengths[ROWS].sum() < 64
        assert_same(
            gradients(trainable, reader, train=True), gradients(trainable, again, train=True)
        )


def test_gradient_checkpointing_changes_nothing(tmp_path: Path) -> None:
    folder = tiny.save(tmp_path)
    with torch.random.fork_rng():
        plain = opened(folder, WeightsConfig(layers=2))
        saving = opened(folder, WeightsConfig(layers=2, gradient_checkpointing=True))
        assert_same(gradients(*plain, train=True), gradients(*saving, train=True))


def test_the_backbone_is_whole_again_after_reading(tmp_path: Path) -> None:
    trainable, reader = opened(tiny.save(tmp_path), WeightsConfig(layers=1))
    names = [name for name, _ in trainable.tower.named_parameters()]
    with reader.open():
        inside = reader.all()
    assert [name for name, _ in trainable.tower.named_parameters()] == names
    ids, mask = reader.table.batch(np.arange(len(TEXTS)))
    with torch.no_grad():
        torch.testing.assert_close(trainable.tower.eval()(ids, mask), inside)
