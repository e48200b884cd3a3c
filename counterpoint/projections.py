"""The scorers' scores times the ridge map, without the scores.

What cold.py regresses on the item features is a weighted sum of the scorers' scores, and each of
these is a user's state times a matrix of the items. Multiplied with the (N0, F) ridge map once,
those matrices have F columns, so serving reads neither the map nor the scores of N0 items for it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from counterpoint.cold import warm_share
from counterpoint.factors import FactorScorer
from counterpoint.linear import LinearScorer
from counterpoint.prior import PriorScorer


class Projections(nn.Module):
    """Computes (B, F) ``scores @ ridge_map`` of every scorer.

    Args:
        ridge_map: (N0, F).
        vectors: (N0, d) item vectors of the tower.
        bias: (N0,) of the tower.
        linears: The linear scorers.
        factors: The factorisation, if there is one.
        prior: The prior.
    """

    sums: Tensor
    tower: Tensor
    bias: Tensor
    factors: Tensor
    base: Tensor
    shift: Tensor

    def __init__(
        self,
        ridge_map: Tensor,
        vectors: Tensor,
        bias: Tensor,
        linears: Sequence[LinearScorer],
        factors: FactorScorer | None,
        prior: PriorScorer,
    ) -> None:
        super().__init__()
        self.n_linears = len(linears)
        tables = {
            "sums": ridge_map.sum(0),
            "tower": vectors.T @ ridge_map,
            "bias": bias @ ridge_map,
            "base": prior.base @ ridge_map,
            "shift": prior.shift @ ridge_map,
        }
        if factors is not None:
            tables["factors"] = factors.factors.T @ ridge_map
        for place, linear in enumerate(linears):
            tables[f"linear_{place}"] = linear.weights[:, :-1] @ ridge_map[linear.items]
        for name, table in tables.items():
            self.register_buffer(name, table.detach(), persistent=False)

    def linear(self, place: int) -> Tensor:
        """Return the (M + 1, F) matrix of a linear scorer."""
        table = getattr(self, f"linear_{place}")
        assert isinstance(table, Tensor)
        return table

    def of_tower(self, users: Tensor) -> Tensor:
        """Return (B, F) from (B, d) user vectors."""
        return torch.matmul(users, self.tower) + self.bias

    def of_factors(self, users: Tensor) -> Tensor:
        """Return (B, F) from (B, d) user factors."""
        return torch.matmul(users, self.factors)

    def of_prior(self, share: Tensor) -> Tensor:
        """Return (B, F) from the (B, P) shares of the profile."""
        return self.base + torch.matmul(share, self.shift)

    def regressed(
        self, evidence: Sequence[tuple[Tensor, Tensor]], warm: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what ``ColdExtension.taste`` reads: theta, mean and spread of the first scores.

        The evidence is the sum of standardised scores, standardised again: its spread follows from
        the variances and the covariance, so the sum itself is never formed.

        Args:
            evidence: One or two (B, N0) scores with their (B, F) products with the ridge map.
            warm: (N0,) bool.
        """
        share = warm_share(warm)
        first, *others = [_Standard(scores, share) for scores, _ in evidence]
        told = first.unit * (evidence[0][1] - first.mean * self.sums)
        variance = (first.unit * first.spread) ** 2
        for other, (_, product) in zip(others, evidence[1:], strict=True):
            told = told + other.unit * (product - other.mean * self.sums)
            covariance = torch.matmul(first.deviation * other.deviation, share)
            variance = (
                variance
                + (other.unit * other.spread) ** 2
                + 2.0 * first.unit * other.unit * covariance
            )
        return told / variance.clamp(min=1e-12).sqrt(), first.mean, first.spread


class _Standard:
    """What standardises (B, N0) scores over the warm items; ``share``: see ``warm_share``."""

    def __init__(self, scores: Tensor, share: Tensor) -> None:
        self.mean = torch.matmul(scores, share)
        self.deviation = scores - self.mean
        self.spread = torch.matmul(self.deviation * self.deviation, share).sqrt()
        self.unit = 1.0 / self.spread.clamp(min=1e-6)
