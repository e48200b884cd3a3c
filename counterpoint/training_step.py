"""One optimiser step over the towers, the objectives' own parameters and their weights."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from counterpoint import task_weights
from counterpoint.batches import Batch
from counterpoint.config.towers import FitConfig
from counterpoint.objectives._objective import Objective
from counterpoint.towers import TwoTower

WARM_UP = 0.3
"""Share of the steps in which the learning rate rises."""

MAX_GRADIENT_NORM = 1.0

WeightedObjective = tuple[float, Callable[[TwoTower, Batch], Tensor]]
"""An ``Objective``, or any function without parameters and state."""


class Run:
    """Everything a step moves: the towers, the objectives' own parameters and state, the weights.

    Attributes:
        trained: All of it, as it goes to the checkpoint.
        weigh: Turns terms into a loss.
    """

    def __init__(
        self,
        model: TwoTower,
        objectives: dict[str, WeightedObjective],
        config: FitConfig,
        steps: int,
        device: torch.device,
    ) -> None:
        self.model = model
        self.device = device
        self.functions = {name: function for name, (_, function) in objectives.items()}
        modules = {n: f for n, f in self.functions.items() if isinstance(f, nn.Module)}
        self.stateful = [f for f in modules.values() if isinstance(f, Objective)]
        shared: list[nn.Parameter] = list(model.user.mix.parameters())
        weights = {name: weight for name, (weight, _) in objectives.items()}
        self.weigh = task_weights.build(weights, shared, config)
        self.trained = nn.ModuleDict(
            {"towers": model, "objectives": nn.ModuleDict(modules), "weights": self.weigh}
        )
        self.trained.to(device).train()
        self.optimizer = _optimizer(self.trained, config)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            [group["lr"] for group in self.optimizer.param_groups],
            total_steps=steps + 1,
            pct_start=WARM_UP,
        )
        self.half = config.precision == "bfloat16" or (
            config.precision == "auto" and device.type == "cuda"
        )

    def gradients(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor, str | None]:
        """Return the terms, the loss, and which of loss and gradient is not finite, if any."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            terms = {name: function(self.model, batch) for name, function in self.functions.items()}
            loss = self.weigh(terms)
        if not torch.isfinite(loss):
            return terms, loss, "The loss"
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.trained.parameters(), MAX_GRADIENT_NORM)
        return terms, loss, None if torch.isfinite(norm) else "The gradient"

    def move(self) -> None:
        """Take the step, then move what is not trained by gradient."""
        self.optimizer.step()
        self.schedule.step()
        for objective in self.stateful:
            objective.after_step(self.model)
        self.weigh.after_step()


def _optimizer(trained: nn.ModuleDict, config: FitConfig) -> torch.optim.AdamW:
    """AdamW; embeddings and scalars such as the temperature are not decayed."""
    towers = trained["towers"]
    free = {id(m.weight) for m in towers.modules() if isinstance(m, nn.Embedding)}
    own = [p for part in ("towers", "objectives") for p in trained[part].parameters()]
    own = [p for p in own if p.requires_grad]
    free |= {id(p) for p in own if p.ndim == 0}
    groups = [
        {"params": [p for p in own if id(p) not in free], "weight_decay": config.weight_decay},
        {"params": [p for p in own if id(p) in free], "weight_decay": 0.0},
    ]
    factors = list(trained["weights"].parameters())
    if factors:
        groups.append({"params": factors, "weight_decay": 0.0, "lr": config.task_weight_rate})
    return torch.optim.AdamW(groups, lr=config.learning_rate)
