"""XSimGCL: graph embeddings with a contrastive loss between noisy layers (Yu et al., 2023).

LightGCN's propagation with layer 0 left out; each hop adds a random vector of length ``noise`` in
the orthant of the embedding. Beside BPR, InfoNCE ties the final vectors of the users and items of
the batch to those of one layer. A new user is folded in exactly: no layer holds a parameter of it.
"""

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from counterpoint.baselines._graph import GraphScorer, graph_scorer, user_item_graph
from counterpoint.baselines._pairwise import PairwiseConfig, pairs, train_embeddings
from counterpoint.histories import Histories

TRAINED = True
GRID = ({"contrast": (0.01, 0.003, 0.03)}, {"temperature": (0.2, 0.1)})


class Config(PairwiseConfig):
    """Options; the defaults are the best of a small grid on MovieLens-100K validation."""

    learning_rate: float = Field(default=0.05, gt=0)
    """Of Adam."""

    max_steps: int = Field(default=2_000, ge=1)
    """Steps at most; each walks the whole graph."""

    epochs: int = Field(default=30, ge=1)
    """Passes over the pairs."""

    layers: int = Field(default=2, ge=1)
    """Hops K."""

    contrast_layer: int = Field(default=1, ge=1)
    """Layer the final vectors are compared with; at most ``layers``."""

    contrast: float = Field(default=0.01, ge=0)
    """Weight of the contrastive loss."""

    temperature: float = Field(default=0.2, gt=0)
    """Of the contrastive loss."""

    noise: float = Field(default=0.05, ge=0)
    """Length of the noise of each hop."""


def info_nce(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Mean cross-entropy of (B, d) rows finding each other among the B, by cosine."""
    first, second = functional.normalize(first), functional.normalize(second)
    return functional.cross_entropy(first @ second.T / temperature, torch.arange(len(first)))


def fit(train: Histories, *, n_items: int, config: Config) -> GraphScorer:
    """Train the embeddings."""
    found = pairs(train, n_items=n_items)
    graph = user_item_graph(found)
    generator = torch.Generator().manual_seed(config.seed)
    compared = min(config.contrast_layer, config.layers)
    seen: dict[str, Tensor] = {}

    def noisy(vectors: Tensor) -> Tensor:
        drawn = functional.normalize(torch.rand(vectors.shape, generator=generator))
        return vectors + config.noise * drawn * vectors.detach().sign()

    def forward(users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        layers = graph.layers(users, items, config.layers, noisy)
        final = [torch.stack(side[1:]).mean(dim=0) for side in layers]
        seen.update(
            zip(
                ("u", "i", "u_layer", "i_layer"),
                (*final, *(s[compared] for s in layers)),
                strict=True,
            )
        )
        return final[0], final[1]

    def contrast(users: Tensor, items: Tensor, u: Tensor, i: Tensor) -> Tensor:
        u, i = u.unique(), i.unique()
        return config.contrast * (
            info_nce(seen["u"][u], seen["u_layer"][u], config.temperature)
            + info_nce(seen["i"][i], seen["i_layer"][i], config.temperature)
        )

    users, items = train_embeddings(found, config, forward, extra=contrast, what="Fit XSimGCL")
    return graph_scorer(graph, users, items, n_layers=config.layers, user_ids=None)
