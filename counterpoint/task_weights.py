"""How the terms of several objectives become one loss."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from counterpoint.config.towers import FitConfig

FLOOR = 1e-12


class FixedWeights(nn.Module):
    """``sum of w_i L_i`` with the configured weights w.

    Args:
        weights: name -> w.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__()
        self.weights = dict(weights)

    def forward(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Return the scalar loss."""
        return torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()

    def after_step(self) -> None:
        """Nothing moves."""

    def factors(self) -> dict[str, float]:
        """Return w."""
        return dict(self.weights)


class UncertaintyWeights(nn.Module):
    """``sum of w_i (exp(-s_i) L_i + s_i / 2)`` with learned s.

    Kendall, Gal and Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene
    Geometry and Semantics" (2018), equation 10 with ``s = log sigma^2``: a term that stays large
    counts as noisy and gets a smaller factor. Needs terms of at least zero; one of weight 0 stays
    out.

    Args:
        weights: name -> w.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__()
        self.weights = dict(weights)
        self.log_variance = nn.Parameter(torch.zeros(len(weights)))

    def forward(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Return the scalar loss."""
        stacked = torch.stack([terms[name] for name in self.weights])
        weights = stacked.new_tensor(list(self.weights.values()))
        each = torch.exp(-self.log_variance) * stacked + self.log_variance / 2.0
        return (weights * each).sum()

    def after_step(self) -> None:
        """The optimiser moves s."""

    def factors(self) -> dict[str, float]:
        """Return ``w_i exp(-s_i)``."""
        scale = torch.exp(-self.log_variance.detach()).tolist()
        return {name: w * f for (name, w), f in zip(self.weights.items(), scale, strict=True)}


class GradientWeights(nn.Module):
    """``sum of f_i L_i`` with factors that keep the gradients in the configured proportions.

    After GradNorm (Chen et al., "Gradient Normalization for Adaptive Loss Balancing in Deep
    Multitask Networks", 2018). With g_i the norm of the gradient of L_i at the shared
    parameters and the relative inverse training rate r_i = (L_i / L_i(0)) / mean of these, the
    wanted norm is

        f_i g_i  ->  mean(f g) * w_i r_i^a / mean(w r^a)

    GradNorm follows the gradient of the distance to it; here each step goes the share ``rate`` of
    the way in the logarithm, ``f_i <- f_i (wanted / f_i g_i)^rate``, which has the same fixed point
    and no second learning rate schedule. The factors are then scaled to the sum of w. A term
    without gradient at the shared parameters (g_i = 0) keeps its weight.

    Args:
        weights: name -> w.
        shared: Parameters at which the gradients are compared.
        rate: Share of the way per step.
        asymmetry: a; 0 ignores how fast the terms fall.
    """

    scale: Tensor
    first: Tensor

    def __init__(
        self,
        weights: Mapping[str, float],
        shared: Sequence[nn.Parameter],
        *,
        rate: float,
        asymmetry: float,
    ) -> None:
        super().__init__()
        self.weights = dict(weights)
        # Kept out of the module's own parameters: they belong to the towers.
        self.shared = tuple(shared)
        self.rate = rate
        self.asymmetry = asymmetry
        self.register_buffer("scale", torch.tensor(list(weights.values())))
        self.register_buffer("first", torch.zeros(len(weights)))

    def forward(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Return the scalar loss; the factors it uses are those of the step before, moved."""
        stacked = torch.stack([terms[name] for name in self.weights])
        norms = torch.stack([self._norm(terms[name]) for name in self.weights])
        self._pending = (stacked.detach().float(), norms)
        return (self._moved(*self._pending)[0] * stacked).sum()

    def after_step(self) -> None:
        """Keep the factors of the step."""
        scale, first = self._moved(*self._pending)
        self.scale.copy_(scale)
        self.first.copy_(first)

    def factors(self) -> dict[str, float]:
        """Return f."""
        return dict(zip(self.weights, self.scale.tolist(), strict=True))

    def _moved(self, losses: Tensor, norms: Tensor) -> tuple[Tensor, Tensor]:
        """(n,) factors after this step and (n,) first losses."""
        first = torch.where(self.first == 0, losses, self.first)
        weights = losses.new_tensor(list(self.weights.values()))
        counted = (norms > FLOOR) & (weights > 0) & torch.isfinite(norms)
        if counted.sum() < 2:
            return self.scale, first
        pace = (losses / first.clamp(min=FLOOR)).clamp(min=FLOOR)
        pace = torch.where(counted, pace / pace[counted].mean(), 1.0) ** self.asymmetry
        wanted = weights * pace
        had = self.scale * norms
        wanted = had[counted].mean() * wanted / wanted[counted].mean()
        ratio = (wanted / had.clamp(min=FLOOR)).clamp(min=FLOOR)
        scale = torch.where(counted, self.scale * ratio**self.rate, self.scale)
        total = weights[counted].sum() / scale[counted].sum()
        return torch.where(counted, scale * total, scale), first

    def _norm(self, term: Tensor) -> Tensor:
        if not term.requires_grad:
            return term.new_zeros(()).float()
        found = torch.autograd.grad(term, self.shared, retain_graph=True, allow_unused=True)
        squares = [grad.float().square().sum() for grad in found if grad is not None]
        return torch.stack(squares).sum().sqrt() if squares else term.new_zeros(()).float()


def build(
    weights: Mapping[str, float], shared: Sequence[nn.Parameter], config: FitConfig
) -> "FixedWeights | UncertaintyWeights | GradientWeights":
    """Return the configured way to weight.

    Args:
        weights: name -> configured weight.
        shared: Parameters that all objectives share.
        config: ``task_weights`` and its options.
    """
    if config.task_weights == "uncertainty":
        return UncertaintyWeights(weights)
    if config.task_weights == "gradient":
        return GradientWeights(
            weights, shared, rate=config.task_weight_rate, asymmetry=config.gradient_asymmetry
        )
    return FixedWeights(weights)
