"""Light graph convolution over the users and items of a fit, with fold-in of new users."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from counterpoint.baselines._pairwise import Pairs
from counterpoint.histories import Histories


@dataclass(frozen=True)
class UserItemGraph:
    """The normalised bipartite graph A_ui = 1 / sqrt(degree of u * degree of i).

    Attributes:
        forth: (U, N).
        back: (N, U) its transpose.
        item_scale: (N,) 1 / sqrt(degree), 0 for items nobody likes.
    """

    forth: sp.csr_matrix
    back: sp.csr_matrix
    item_scale: npt.NDArray[np.float32]

    def layers(
        self,
        users: Tensor,
        items: Tensor,
        n_layers: int,
        noise: Callable[[Tensor], Tensor] | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return the user and the item vectors after 0 to ``n_layers`` hops.

        Args:
            users: (U, d).
            items: (N, d).
            n_layers: K.
            noise: Perturbs the vectors after each hop.
        """
        user_layers, item_layers = [users], [items]
        for _ in range(n_layers):
            users, items = (
                _Propagate.apply(self.forth, self.back, items),
                _Propagate.apply(self.back, self.forth, users),
            )
            if noise is not None:
                users, items = noise(users), noise(items)
            user_layers.append(users)
            item_layers.append(items)
        return user_layers, item_layers


class _Propagate(torch.autograd.Function):
    """Product with a constant sparse matrix, whose gradient is that with its transpose.

    In SciPy: the sparse tensors of torch are of no use to its own autograd without copies.
    """

    @staticmethod
    def forward(ctx: Any, forth: sp.csr_matrix, back: sp.csr_matrix, vectors: Tensor) -> Tensor:
        ctx.back = back
        return torch.from_numpy(forth @ vectors.detach().numpy())

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[None, None, Tensor]:
        return None, None, torch.from_numpy(ctx.back @ slopes[0].numpy())


def user_item_graph(found: Pairs) -> UserItemGraph:
    """Normalise the positives of a fit."""
    shape = (found.n_users, found.n_items)
    likes = sp.csr_matrix(
        (np.ones(len(found), dtype=np.float32), (found.users, found.items)), shape=shape
    )
    user_scale, item_scale = (
        _inverse_root(np.asarray(likes.sum(axis=axis)).ravel()) for axis in (1, 0)
    )
    forth = sp.csr_matrix(sp.diags(user_scale) @ likes @ sp.diags(item_scale))
    return UserItemGraph(forth, sp.csr_matrix(forth.T), item_scale)


@dataclass(frozen=True)
class GraphScorer:
    """Scores of histories folded into a trained graph.

    The vector of a history is what the graph would give a user with these likes: the mean of its
    own embedding (that of the user of this id in training; zero for a new user) and of its hops.
    Exact for a training user whose history has not grown.

    Attributes:
        own: user id -> (d,) first layer of the user; empty where the layer is left out.
        hops: K arrays (N, d): the items of layer k - 1, each row scaled by 1 / sqrt(degree).
        items: (N, d) final vectors.
        n_layers: Layers averaged.
    """

    own: dict[str, npt.NDArray[np.float32]]
    hops: list[npt.NDArray[np.float32]]
    items: npt.NDArray[np.float32]
    n_layers: int

    def score(self, histories: Histories) -> npt.NDArray[np.float32]:
        """(U, N) products of the folded-in users and the items."""
        likes = histories.matrix(len(self.items), positive_only=True)
        scale = _inverse_root(np.diff(likes.indptr).astype(np.float32))
        users = np.zeros((len(histories), self.items.shape[1]), dtype=np.float32)
        for row, user in enumerate(histories.user_ids):
            if user in self.own:
                users[row] = self.own[user]
        for hop in self.hops:
            users += scale[:, None] * (likes @ hop)
        return np.asarray(users / self.n_layers @ self.items.T, dtype=np.float32)


def graph_scorer(
    graph: UserItemGraph,
    users: Tensor,
    items: Tensor,
    *,
    n_layers: int,
    user_ids: list[str] | None,
) -> GraphScorer:
    """Propagate the trained parameters once and keep what scoring needs.

    Args:
        graph: Of the training.
        users: (U, d) trained parameters.
        items: (N, d) trained parameters.
        n_layers: K.
        user_ids: Ids of the users if layer 0 counts (LightGCN); None leaves it out (XSimGCL).
    """
    _, layers = graph.layers(users, items, n_layers)
    own: dict[str, npt.NDArray[np.float32]] = {}
    if user_ids is not None:
        own = dict(zip(user_ids, users.numpy(), strict=True))
    final = torch.stack(layers if user_ids is not None else layers[1:]).mean(dim=0)
    scale = graph.item_scale[:, None]
    averaged = n_layers + (user_ids is not None)
    return GraphScorer(own, [scale * x.numpy() for x in layers[:-1]], final.numpy(), averaged)


def _inverse_root(degree: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.divide(1, np.sqrt(degree), out=np.zeros_like(degree), where=degree > 0)
