"""What every objective must satisfy; a new one is covered as soon as its file exists."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch
from pydantic import ValidationError

from counterpoint import chosen_objectives, columns, plugins, trainer
from counterpoint.batches import Batch, Examples, read_examples
from counterpoint.config.towers import FitConfig
from counterpoint.histories import Histories, from_events
from counterpoint.objectives._objective import Objective
from counterpoint.towers import TwoTower
from counterpoint.training_step import Run
from tests.counterpoint import toys
from tests.counterpoint.batch_maker import batch, context, two_tower

NAMES = plugins.names(chosen_objectives.OBJECTIVES)
USERS = toys.histories(
    [(0, True), (1, True), (3, True), (6, False)],
    [(2, True), (4, True), (5, True), (1, True)],
    [(0, True), (3, True), (1, True)],
    [(9, False)],
)
EXAMPLE = batch([[0, 1], [2, 1], [0], []], [[3], [4, 5], [3], [7]])
CONFIG = FitConfig(min_steps=9, epochs=1, batch_size=16, checkpoint_steps=3, learning_rate=0.01)


def towers() -> TwoTower:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return two_tower(10)


def built(name: str, model: TwoTower, histories: Histories = USERS, *, full: bool = True):
    plugin = plugins.load(chosen_objectives.OBJECTIVES, name)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return plugin.build(plugin.Config(), context(model, histories, full_softmax=full))


def loss_of(objective: Objective, model: TwoTower, example: Batch = EXAMPLE) -> torch.Tensor:
    torch.manual_seed(2)
    return objective(model, example)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("full_softmax", [True, False])
def test_the_loss_is_finite_and_trains_the_towers(name: str, full_softmax: bool) -> None:
    model = towers()
    loss = loss_of(built(name, model, full=full_softmax), model)
    assert loss.shape == () and torch.isfinite(loss) and loss >= 0
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients and all(torch.isfinite(g).all() for g in gradients)
    assert any((g != 0).any() for g in gradients)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("full_softmax", [True, False])
def test_the_gradient_is_that_of_the_loss(name: str, full_softmax: bool) -> None:
    """Along a random direction of all tower parameters, against central differences."""
    model, example = towers().double(), replace(EXAMPLE, age=EXAMPLE.age.double())
    objective = built(name, model, full=full_softmax).double()
    parameters = [p for p in model.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(
        loss_of(objective, model, example), parameters, allow_unused=True
    )
    with torch.no_grad():
        direction = [torch.randn_like(p) for p in parameters]
        slope = sum(
            (g * d).sum() for g, d in zip(gradients, direction, strict=True) if g is not None
        )
        values = []
        for step in (1e-6, -1e-6):
            for parameter, d in zip(parameters, direction, strict=True):
                parameter.add_(d, alpha=step)
            values.append(loss_of(objective, model, example))
            for parameter, d in zip(parameters, direction, strict=True):
                parameter.sub_(d, alpha=step)
    difference = (values[0] - values[1]) / 2e-6
    assert slope.abs() > 0.02
    torch.testing.assert_close(slope, difference, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_determines_the_loss_and_a_forward_moves_no_state(name: str) -> None:
    model = towers()
    objective = built(name, model)
    before = {key: value.clone() for key, value in objective.state_dict().items()}
    assert torch.equal(loss_of(objective, model), loss_of(objective, model))
    assert torch.equal(loss_of(objective, model), loss_of(built(name, model), model))
    for key, value in objective.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "example",
    [
        batch([[0, 1], [2]], [[], []]),
        batch([[], []], [[1], [2]]),
        batch([[4]], [[5]]),
        batch([[0, 3, 1]], [[7]], [[False, False, False]]),
    ],
    ids=["no targets", "no histories", "one user", "nothing liked"],
)
@pytest.mark.parametrize("full_softmax", [True, False])
def test_poor_batches_give_finite_gradients(name, example, full_softmax) -> None:
    model = towers()
    loss = loss_of(built(name, model, full=full_softmax), model, example)
    assert torch.isfinite(loss)
    if loss.requires_grad:
        loss.backward()
    for parameter in model.parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all()


@pytest.fixture(scope="module")
def data() -> tuple[Examples, Histories]:
    folded, frame = toys.prepared(toys.world())
    frame = frame.filter(pl.col(columns.FIT) == "final")
    index = {f"i{i}": i for i in range(24)}
    users = folded[columns.USER].unique().sort().to_list()
    examples = read_examples(frame, index, length=50, user_ids=users)
    return examples, from_events(folded, index, user_ids=users)


class Killed(Exception):
    pass


@pytest.mark.parametrize("name", NAMES)
def test_a_killed_run_resumes_to_equal_towers_and_equal_state(
    name: str, data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(checkpoint: Path) -> tuple[trainer.TrainingResult, TwoTower, Objective]:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = two_tower(24)
        objective = built(name, model, data[1])
        result = trainer.train(
            model, {name: (1.0, objective)}, data[0], CONFIG, seed=0, checkpoint=checkpoint
        )
        return result, model, objective

    expected, whole, state = fit(tmp_path / "whole")
    move, steps = Run.move, 0

    def dies(run: Run) -> None:
        nonlocal steps
        move(run)
        steps += 1
        if steps == 5:
            raise Killed

    monkeypatch.setattr(Run, "move", dies)
    with pytest.raises(Killed):
        fit(tmp_path / "killed")
    monkeypatch.undo()
    result, model, objective = fit(tmp_path / "killed")
    assert result.resumed_at == 3 and result.curves == expected.curves
    for one, other in ((model, whole), (objective, state)):
        for key, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[key]), key


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_comes_close(name: str, data) -> None:
    totals = []
    for precision in ("float32", "bfloat16"):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = two_tower(24)
        config = CONFIG.model_copy(update={"precision": precision, "min_steps": 3})
        objectives = {name: (1.0, built(name, model, data[1]))}
        totals.append(trainer.train(model, objectives, data[0], config, seed=0).curves.total)
    assert totals[1] == pytest.approx(totals[0], rel=0.1, abs=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_options_are_strict_and_weighted(name: str) -> None:
    plugin = plugins.load(chosen_objectives.OBJECTIVES, name)
    assert plugin.Config(weight=0.5).weight == 0.5
    with pytest.raises(ValidationError):
        plugin.Config(no_such_option=1)
    assert plugin.__doc__ and all(
        field.description for field in plugin.Config.model_fields.values()
    )
