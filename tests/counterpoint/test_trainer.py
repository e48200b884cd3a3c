import itertools
from pathlib import Path

import polars as pl
import pytest
import torch

from counterpoint import checkpoints, columns, divergence, trainer
from counterpoint.batches import Batch, Examples, read_examples
from counterpoint.config.towers import FitConfig
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


def test_a_checkpoint_of_another_model_is_not_used(data, tmp_path: Path) -> None:
    trainer.train(model(), OBJECTIVES, data, CONFIG, seed=0, checkpoint=tmp_path)
    wide = toys.small_config(tower={"dim": 12, "neighbours": 4}).tower
    near = torch.randint(0, 24, (24, 2)), torch.full((24, 2), 0.5)
    other = build(torch.randn(24, 6), torch.ones(24), near, wide)
    result = trainer.train(other, OBJECTIVES, data, CONFIG, seed=0, checkpoint=tmp_path)
    assert result.resumed_at == 0


def diverges(towers: TwoTower, batch: Batch) -> torch.Tensor:
    """NaN as soon as item 0 is in a history at a temperature that has moved far enough."""
    usual = info_nce.full(towers, batch)
    moved = (towers.log_temperature.detach() - torch.log(torch.tensor(0.2))).abs() > 0.02
    return usual * float("nan") if moved and (batch.items == 0).any() else usual


@pytest.mark.parametrize("seed", [0, 5])
def test_a_diverged_loss_names_the_step_and_can_be_computed_again(
    data, tmp_path: Path, seed: int
) -> None:
    with pytest.raises(DataError, match=r"loss is not finite at step \d+ of 12") as caught:
        trainer.train(
            model(), {"bad": (1.0, diverges)}, data, CONFIG, seed=seed, checkpoint=tmp_path
        )
    assert str(tmp_path / divergence.FILE) in str(caught.value)
    bad = divergence.load(tmp_path / divergence.FILE)
    assert f"step {bad.step} of" in str(caught.value) and bad.step >= 1
    assert not torch.isnan(diverges(model(), bad.batch))

    def once(towers: TwoTower, batch: Batch) -> torch.Tensor:
        torch.manual_seed(bad.random_state)
        losses.append(diverges(towers, bad.batch))
        raise Killed

    losses: list[torch.Tensor] = []
    before = model()
    with pytest.raises(Killed):
        trainer.train(
            before,
            {"bad": (1.0, once)},
            data,
            CONFIG,
            seed=seed,
            checkpoint=tmp_path / divergence.STATE,
        )
    assert torch.isnan(losses[0]) and torch.isfinite(weights(before)).all()

    # The state is that of an undisturbed run at this step, so nothing that was learned is lost.
    undisturbed = model()
    short = CONFIG.model_copy(update={"checkpoint_steps": 1})

    def stops(towers: TwoTower, batch: Batch) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls > bad.step:
            raise Killed
        return info_nce.full(towers, batch)

    calls = 0
    with pytest.raises(Killed):
        trainer.train(undisturbed, {"bad": (1.0, stops)}, data, short, seed=seed)
    assert torch.equal(weights(before), weights(undisturbed))


def test_a_gradient_that_is_not_finite_stops_before_the_weights_are_lost(
    data, tmp_path: Path
) -> None:
    def root(towers: TwoTower, batch: Batch) -> torch.Tensor:
        return (towers.log_temperature - towers.log_temperature.detach()).abs().sqrt()

    towers = model()
    before = weights(towers).clone()
    with pytest.raises(DataError, match="gradient is not finite at step 0"):
        trainer.train(towers, {"bad": (1.0, root)}, data, CONFIG, seed=0, checkpoint=tmp_path)
    assert torch.equal(weights(towers), before)
    assert divergence.load(tmp_path / divergence.FILE).step == 0
    with pytest.raises(DataError, match="was not saved"):
        trainer.train(model(), {"bad": (1.0, root)}, data, CONFIG, seed=0)


@pytest.mark.parametrize("how", ["fixed", "uncertainty", "gradient"])
def test_the_weights_of_the_terms_are_recorded_and_resumed(data, tmp_path: Path, how: str) -> None:
    config = CONFIG.model_copy(update={"task_weights": how})

    def small(towers: TwoTower, batch: Batch) -> torch.Tensor:
        return 0.01 * towers.user(batch).square()[:, :2].sum(1).mean()

    objectives = {"main": (1.0, info_nce.full), "small": (0.5, small)}
    whole = model()
    curves = trainer.train(whole, objectives, data, config, seed=0).curves
    assert [len(values) for values in curves.weights.values()] == [12, 12]
    constant = len(set(curves.weights["main"])) == 1
    assert constant == (how == "fixed")
    if how == "gradient":
        assert curves.weights["small"][-1] > curves.weights["small"][0]

    calls = 0

    def dies(towers: TwoTower, batch: Batch) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 10:
            raise Killed
        return small(towers, batch)

    with pytest.raises(Killed):
        killed = objectives | {"small": (0.5, dies)}
        trainer.train(model(), killed, data, config, seed=0, checkpoint=tmp_path)
    resumed = model()
    result = trainer.train(resumed, objectives, data, config, seed=0, checkpoint=tmp_path)
    assert result.resumed_at == 8 and result.curves == curves
    assert torch.equal(weights(resumed), weights(whole))


def test_the_temperature_is_learned_fixed_or_scheduled(data) -> None:
    final = {}
    for schedule in ("learned", "fixed", "cosine"):
        tower = toys.small_config().tower.model_copy(
            update={"temperature_schedule": schedule, "final_temperature": 0.05}
        )
        near = torch.zeros(24, 0, dtype=torch.int64), torch.zeros(24, 0)
        towers = build(torch.zeros(24, 0), torch.ones(24), near, tower)
        seen: list[float] = []

        def watch(towers: TwoTower, batch: Batch, seen: list[float] = seen) -> torch.Tensor:
            seen.append(towers.log_temperature.exp().item())
            return info_nce.full(towers, batch)

        trainer.train(towers, {"info_nce": (1.0, watch)}, data, CONFIG, seed=0)
        final[schedule] = seen
    assert final["fixed"] == pytest.approx([0.2] * 12)
    assert final["learned"][0] == pytest.approx(0.2) and final["learned"][-1] != final["learned"][0]
    cosine = final["cosine"]
    assert cosine[0] == pytest.approx(0.2) and cosine[6] == pytest.approx(0.125)
    assert all(a > b for a, b in itertools.pairwise(cosine))
    assert 0.05 < cosine[-1] < 0.06


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
