"""The matrix factorisation as a scorer of the model: iALS with fold-in inside the graph.

The factors of a user solve a small linear system (see ials.py). The graph has no solver, so it runs
conjugate gradients (Hestenes and Stiefel 1952) for a fixed number of steps. Preconditioned with the
inverse of ``V'V + l2 I``, which all users share, the system has eigenvalues between 1 and the
confidence c, so the error falls by ``(sqrt(c) - 1) / (sqrt(c) + 1)`` a step.
"""

import torch
from torch import Tensor, nn

STEPS = 32
"""Conjugate gradient steps; a test compares the result with an exact solve."""


class FactorScorer(nn.Module):
    """Scores ``<u, v_i>`` with u folded in from the history.

    Args:
        factors: (N, d) item factors.
        confidence: c of a positive.
        l2: Ridge.
    """

    factors: Tensor
    gram: Tensor
    inverse: Tensor

    def __init__(self, factors: Tensor, *, confidence: float, l2: float) -> None:
        super().__init__()
        self.confidence = confidence
        self.l2 = l2
        self.register_buffer("factors", factors)
        wide = factors.double()
        gram = wide.T @ wide + l2 * torch.eye(factors.shape[1], dtype=torch.float64)
        self.register_buffer("gram", gram.float(), persistent=False)
        self.register_buffer("inverse", torch.linalg.inv(gram).float(), persistent=False)

    def forward(self, items: Tensor, counted: Tensor) -> Tensor:
        """Return (B, N) scores.

        Args:
            items: (B, L) catalogue indices.
            counted: (B, L) 1 for the positives that count, else 0.
        """
        return self.score(self.users(items, counted))

    def score(self, users: Tensor) -> Tensor:
        """Return (B, N) scores of (B, d) user factors."""
        return torch.matmul(users, self.factors.T)

    def users(self, items: Tensor, counted: Tensor) -> Tensor:
        """Return the (B, d) factors of the users."""
        liked = self.factors[items] * counted.unsqueeze(2)
        system = self.gram + (self.confidence - 1.0) * torch.matmul(liked.transpose(1, 2), liked)
        return _solve(system, self.confidence * liked.sum(1), self.inverse)


def _solve(system: Tensor, right: Tensor, inverse: Tensor) -> Tensor:
    """Return (B, d) x with ``system x = right``.

    Args:
        system: (B, d, d) symmetric positive definite.
        right: (B, d).
        inverse: (d, d) symmetric preconditioner.
    """
    solution = torch.zeros_like(right)
    residual = right
    direction = torch.matmul(residual, inverse)
    energy = (residual * direction).sum(-1, keepdim=True)
    for _ in range(STEPS):
        pushed = torch.matmul(system, direction.unsqueeze(2)).squeeze(2)
        # A row that has converged has nothing left to divide by.
        step = energy / (direction * pushed).sum(-1, keepdim=True).clamp(min=1e-30)
        solution = solution + step * direction
        residual = residual - step * pushed
        better = torch.matmul(residual, inverse)
        following = (residual * better).sum(-1, keepdim=True)
        direction = better + following / energy.clamp(min=1e-30) * direction
        energy = following
    return solution
