"""BPR-MF: matrix factorisation under Bayesian personalised ranking (Rendle et al., 2009).

Score = <u, v_i> + b_i; -log sigmoid of (liked - other) over uniformly drawn others. (The BPR of the
library ``implicit`` draws the others by popularity, which ranks worse; hence code of our own.)
No user vector of the training is kept: any history is folded in by the training's own problem with
the items fixed, which is convex, so that known and new users are treated alike.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from counterpoint.baselines._pairwise import PairwiseConfig, pairs, train_embeddings
from counterpoint.histories import Histories

TRAINED = True
GRID = ({"l2": (0.01, 0.003, 0.03)}, {"factors": (64, 128)})


class Config(PairwiseConfig):
    """Options; the defaults are the best of a small grid on MovieLens-100K validation."""

    l2: float = Field(default=0.01, ge=0)
    """Penalty on the embeddings of each pair in the batch."""

    fold_in_steps: int = Field(default=100, ge=1)
    """Gradient steps that find the vector of a history."""

    fold_in_rate: float = Field(default=0.1, gt=0)
    """Learning rate of these steps (Adam)."""


@dataclass(frozen=True)
class Bpr:
    """Item vectors, and the problem that a user vector solves.

    Attributes:
        vectors: (N, d).
        bias: (N,).
        drawn: (S, D) items the positives are compared with: row s in step s.
        rate: Learning rate.
        l2: Penalty on the user vector.
    """

    vectors: Tensor
    bias: Tensor
    drawn: Tensor
    rate: float
    l2: float

    def score(self, histories: Histories) -> npt.NDArray[np.float32]:
        """(U, N) scores of folded-in histories; an empty one is ranked by the bias."""
        users = self.fold_in(histories)
        return (users @ self.vectors.T + self.bias).numpy()

    def fold_in(self, histories: Histories) -> Tensor:
        """(U, d) user vectors that minimise mean BPR loss + l2 / 2 |u|^2 of each history."""
        likes = histories.matrix(len(self.vectors), positive_only=True)
        lengths = np.diff(likes.indptr)
        owner = torch.from_numpy(np.repeat(np.arange(len(histories)), lengths))
        liked = torch.from_numpy(likes.indices.astype(np.int64))
        mean = torch.from_numpy(1 / np.maximum(lengths, 1).astype(np.float32))[owner]
        # A user's k-th positive meets the k-th drawn item, whoever else is in the batch.
        place = torch.from_numpy(np.arange(len(liked)) - np.repeat(likes.indptr[:-1], lengths))
        place = place % self.drawn.shape[1]
        known = torch.from_numpy(likes.toarray() > 0)
        users = torch.zeros(len(histories), self.vectors.shape[1])
        first, second = torch.zeros_like(users), torch.zeros_like(users)
        for step, drawn in enumerate(self.drawn, start=1):
            other = drawn[place]
            apart = self.vectors[liked] - self.vectors[other]
            margin = (users[owner] * apart).sum(1) + self.bias[liked] - self.bias[other]
            pull = torch.sigmoid(-margin) * mean * ~known[owner, other]
            slope = self.l2 * users - torch.zeros_like(users).index_add(
                0, owner, pull.unsqueeze(1) * apart
            )
            first = 0.9 * first + 0.1 * slope
            second = 0.999 * second + 0.001 * slope.square()
            move = first / (1 - 0.9**step) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
            users = users - self.rate * (1 - step / (len(self.drawn) + 1)) * move
        return users


def fit(train: Histories, *, n_items: int, config: Config) -> Bpr:
    """Train the factors."""

    def forward(users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        return functional.pad(users, (0, 1), value=1.0), items

    _, items = train_embeddings(
        pairs(train, n_items=n_items), config, forward,
        item_width=config.factors + 1, what="Fit BPR",
    )  # fmt: skip
    generator = torch.Generator().manual_seed(config.seed)
    drawn = torch.randint(n_items, (config.fold_in_steps, 256), generator=generator)
    return Bpr(items[:, :-1], items[:, -1], drawn, config.fold_in_rate, config.l2)
