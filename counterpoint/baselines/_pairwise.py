"""Embeddings of users and items trained on pairs (user, liked item), under BPR and its kin."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from counterpoint.config.base import Section
from counterpoint.histories import Histories
from counterpoint.progress import track
from counterpoint.trainer import limited_threads

Forward = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(U, d) and (N, d) parameters -> the (U, d') and (N, d') vectors whose products are the scores."""

Extra = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(U, d) and (N, d) parameters, (B,) users and items of the batch -> one more loss."""


class PairwiseConfig(Section):
    """What the methods trained on pairs have in common."""

    factors: int = Field(default=64, ge=1)
    """Width of the embeddings."""

    learning_rate: float = Field(default=0.005, gt=0)
    """Of Adam."""

    l2: float = Field(default=0.001, ge=0)
    """Penalty on the embeddings of each pair in the batch."""

    epochs: int = Field(default=60, ge=1)
    """Passes over the pairs."""

    batch_size: int = Field(default=2048, ge=1)
    """Pairs in a step."""

    max_steps: int = Field(default=5_000, ge=1)
    """Steps at most, whatever the epochs; bounds the time on large data."""

    seed: int = 0
    """Of the initial embeddings and of the sampled negatives."""


@dataclass(frozen=True)
class Pairs:
    """The distinct positives of a fit.

    Attributes:
        users: (P,) rows of the training histories.
        items: (P,) catalogue indices.
        n_users: U.
        n_items: N.
    """

    users: npt.NDArray[np.int64]
    items: npt.NDArray[np.int64]
    n_users: int
    n_items: int

    def __len__(self) -> int:
        return len(self.users)

    @cached_property
    def keys(self) -> npt.NDArray[np.int64]:
        """(P,) ascending: user * N + item."""
        return self.users * self.n_items + self.items

    def negatives(
        self, users: npt.NDArray[np.int64], rng: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        """(B,) items drawn uniformly; one the user likes is drawn anew, at most ten times."""
        drawn = rng.integers(0, self.n_items, len(users))
        for _ in range(10):
            wanted = users * self.n_items + drawn
            place = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
            liked = np.flatnonzero(self.keys[place] == wanted)
            if not len(liked):
                break
            drawn[liked] = rng.integers(0, self.n_items, len(liked))
        return drawn


def pairs(train: Histories, *, n_items: int) -> Pairs:
    """Collect the positives, each pair once, sorted by user and item."""
    likes = train.matrix(n_items, positive_only=True)
    users = np.repeat(np.arange(len(train), dtype=np.int64), np.diff(likes.indptr))
    return Pairs(users, likes.indices.astype(np.int64), len(train), n_items)


def bpr_loss(users: Tensor, liked: Tensor, other: Tensor) -> Tensor:
    """Mean of -log sigmoid(<u, i> - <u, j>) over (B, d) rows (Rendle et al., 2009)."""
    return functional.softplus((users * (other - liked)).sum(dim=1)).mean()


def train_embeddings(
    found: Pairs,
    config: PairwiseConfig,
    forward: Forward,
    *,
    item_width: int | None = None,
    extra: Extra | None = None,
    what: str,
) -> tuple[Tensor, Tensor]:
    """Minimise the BPR loss with uniform negatives by Adam.

    Args:
        found: Of ``pairs``.
        config: Sizes and budget.
        forward: Turns the parameters into vectors to be multiplied.
        item_width: Width of the item parameters where it is not ``factors``.
        extra: One more loss of each batch.
        what: Title of the progress bar.

    Returns:
        (U, d) and (N, d) trained parameters, not passed through ``forward``.
    """
    generator = torch.Generator().manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    users, items = (
        (torch.randn(rows, width, generator=generator) * 0.1).requires_grad_()
        for rows, width in (
            (found.n_users, config.factors),
            (found.n_items, item_width or config.factors),
        )
    )
    optimiser = torch.optim.Adam([users, items], lr=config.learning_rate)
    size = min(config.batch_size, len(found))
    steps = min(config.epochs * -(-len(found) // max(size, 1)), config.max_steps)
    order = np.empty(0, dtype=np.int64)
    with limited_threads(1):
        for _ in track(range(steps if len(found) else 0), what):
            if len(order) < size:
                order = np.concatenate([order, rng.permutation(len(found))])
            batch, order = order[:size], order[size:]
            user, liked = found.users[batch], found.items[batch]
            u, i, j = (torch.from_numpy(x) for x in (user, liked, found.negatives(user, rng)))
            user_vectors, item_vectors = forward(users, items)
            loss = bpr_loss(user_vectors[u], item_vectors[i], item_vectors[j])
            squares = users[u].square().sum() + items[i].square().sum() + items[j].square().sum()
            loss = loss + config.l2 / 2 * squares / size
            if extra is not None:
                loss = loss + extra(users, items, u, i)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return users.detach(), items.detach()
