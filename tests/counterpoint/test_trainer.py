from pathlib import Path

import polars as pl
import pytest
import torch

from counterpoint import checkpoints, columns, trainer
from counterpoint.batches import Examples, read_examples
from counterpoint.config.train import FitConfig
from counterpoint.errors import DataError
from counterpoint.objectives import info_nce
from counterpoint.towers import TwoTower, build
from tests.counterpoint import toys

CONFIG = FitConfig(epochs=4, min_steps=12, batch_size=16, checkpoint_steps=4, learning_rate=0.01)
OBJECTIVES = {"info_nce": (1.0, info_nce.full), "again": (0.5, info_nce.full)}


@pytest.fixture(scope="module")
def data() -> Examples:
    _, frame = toys.prepared(toys.world())
    frame = frame.filter(pl.col(columns.FIT) == "final")
    return read_examples(frame, {f"i{i}": i for i in range(24)}, length=50)


def model() -> TwoTower:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        text = torch.nn.functional.normalize(torch.randn(24, 6), dim=-1)
        near = (torch.randint(0, 24, (24, 2)), torch.full((24, 2), 0.5))
        return build(text, torch.ones(24), near, toys.small_config().tower)


def weights(towers: TwoTower) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in towers.parameters()])


def test_the_loss_falls_and_the_terms_add_up(data) -> None:
    result = trainer.train(model(), OBJECTIVES, data, CONFIG, seed=0)
    curves = result.curves
    assert result.steps == 12 == len(curves.total) == len(curves.learning_rate)
    assert curves.total[-1] < curves.total[0]
    for total, one, two in zip(curves.total, *curves.terms.values(), strict=True):
        assert total == pytest.approx(one + 0.5 * two, rel=1e-5)


def test_one_seed_gives_one_result_and_leaves_the_callers_randomness_alone(data) -> None:
    first, second, other = model(), model(), model()
    state = torch.get_rng_state()
    trainer.train(first, OBJECTIVES, data, CONFIG, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    trainer.train(second, OBJECTIVES, data, CONFIG, seed=3)
    trainer.train(other, OBJECTIVES, data, CONFIG, seed=4)
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(other))


class Killed(Exception):
    pass


def test_a_killed_run_continues_to_the_same_result(data, tmp_path: Path) -> None:
    whole = model()
    expected = trainer.train(whole, OBJECTIVES, data, CONFIG, seed=0)

    calls = 0

    def dies(towers: TwoTower, batch: object) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 10:
            raise Killed
        return info_nce.full(towers, batch)

    with pytest.raises(Killed):
        trainer.train(
            model(),
            OBJECTIVES | {"info_nce": (1.0, dies)},
            data,
            CONFIG,
            seed=0,
            checkpoint=tmp_path,
        )
    resumed = model()
    with torch.no_grad():
        for parameter in resumed.parameters():
            parameter.fill_(0.5)
    result = trainer.train(resumed, OBJECTIVES, data, CONFIG, seed=0, checkpoint=tmp_path)
    assert result.resumed_at == 8
    assert torch.equal(weights(resumed), weights(whole))
    assert result.curves == expected.curves


def test_a_damaged_checkpoint_is_not_used(data, tmp_path: Path) -> None:
    (tmp_path / checkpoints.FILE).write_bytes(b"half a file")
    fresh, plain = model(), model()
    assert trainer.train(fresh, OBJECTIVES, data, CONFIG, seed=0, checkpoint=tmp_path).steps == 12
    trainer.train(plain, OBJECTIVES, data, CONFIG, seed=0)
    assert torch.equal(weights(fresh), weights(plain))


def test_a_diverged_loss_names_the_step_and_keeps_the_batch(data, tmp_path: Path) -> None:
    calls = 0

    def diverges(towers: TwoTower, batch: object) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return towers.log_temperature * (float("nan") if calls == 3 else 1.0)

    with pytest.raises(DataError, match=r"step 2 of 12.*bad_batch\.safetensors"):
        trainer.train(model(), {"bad": (1.0, diverges)}, data, CONFIG, seed=0, checkpoint=tmp_path)
    assert (tmp_path / "bad_batch.safetensors").is_file()


def test_tensorboard_files_are_written(data, tmp_path: Path) -> None:
    trainer.train(model(), OBJECTIVES, data, CONFIG, seed=0, tensorboard=tmp_path)
    assert list(tmp_path.glob("events.out.tfevents.*"))


@pytest.mark.parametrize(
    ("users", "steps"), [(16, 12), (160, 40), (161, 44), (100_000, 30_000 // 2)]
)
def test_steps_are_budgeted(users: int, steps: int) -> None:
    config = CONFIG.model_copy(update={"max_steps": 15_000})
    assert trainer.step_budget(users, config) == steps


def test_bfloat16_comes_close(data) -> None:
    exact, half = model(), model()
    one = trainer.train(exact, OBJECTIVES, data, CONFIG, seed=0)
    config = CONFIG.model_copy(update={"precision": "bfloat16"})
    two = trainer.train(half, OBJECTIVES, data, config, seed=0)
    assert one.curves.total != two.curves.total
    assert two.curves.total == pytest.approx(one.curves.total, rel=0.02)
