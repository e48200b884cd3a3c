"""LightGCN: embeddings smoothed over the user-item graph, trained by BPR (He et al., 2020).

Vectors are the mean of the layers 0 to K of E <- D^-1/2 A D^-1/2 E. A new user is folded in by its
history's neighbours; its own layer 0 is then zero (see ``_graph.GraphScorer``).
"""

import torch
from pydantic import Field
from torch import Tensor

from counterpoint.baselines._graph import GraphScorer, graph_scorer, user_item_graph
from counterpoint.baselines._pairwise import PairwiseConfig, pairs, train_embeddings
from counterpoint.histories import Histories

TRAINED = True
GRID = ({"l2": (0.001, 0.0001)}, {"layers": (2, 1, 3)})


class Config(PairwiseConfig):
    """Options; the defaults are the best of a small grid on MovieLens-100K validation."""

    learning_rate: float = Field(default=0.02, gt=0)
    """Of Adam."""

    max_steps: int = Field(default=2_000, ge=1)
    """Steps at most; each walks the whole graph."""

    epochs: int = Field(default=30, ge=1)
    """Passes over the pairs."""

    layers: int = Field(default=2, ge=1)
    """Hops K."""


def fit(train: Histories, *, n_items: int, config: Config) -> GraphScorer:
    """Train the embeddings."""
    found = pairs(train, n_items=n_items)
    graph = user_item_graph(found)

    def forward(users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        layers = graph.layers(users, items, config.layers)
        return torch.stack(layers[0]).mean(dim=0), torch.stack(layers[1]).mean(dim=0)

    users, items = train_embeddings(found, config, forward, what="Fit LightGCN")
    return graph_scorer(graph, users, items, n_layers=config.layers, user_ids=list(train.user_ids))
