"""Labels of similar users teach users with few labels of their own.

F spreads the positives over the graph of similar users (``user_graph.propagate_labels``, Zhou et
al. 2004). Cross-entropy of the user's softmax against F, outside the history:

    loss = - mean over users u: s_u * sum over items i outside the history: q[u, i] log p[u, i]
    q[u, i] = F[u, i] / sum over j outside the history: F[u, j]
    s_u = k / (k + positives of u in the history)

so a user with few positives leans on the neighbours and one with many on the own labels. It changes
the training alone: the towers learn what follows from a short history, and a new user is served
from the own history as before. Shapes: logits (B, N), or (B, C) with sampled negatives and logQ
correction where the catalogue is too large; F is sparse with at most ``labels`` items per user.
"""

from dataclasses import replace

import scipy.sparse as sp
import torch
from pydantic import Field
from torch import Tensor

from counterpoint.batches import Batch
from counterpoint.config.base import Section
from counterpoint.objectives import _softmax
from counterpoint.objectives._objective import Objective, ObjectiveContext
from counterpoint.sampling.negatives import NegativeMixture, NegativeSampler
from counterpoint.sampling.user_items import UserItems
from counterpoint.towers import TwoTower
from counterpoint.user_graph import propagate_labels, user_similarity


class Config(Section):
    """Options of the objective."""

    weight: float = Field(default=0.1, ge=0)
    """Factor of this term in the total loss."""

    neighbours: int = Field(default=20, ge=1)
    """Similar users per user."""

    share: float = Field(default=0.5, gt=0, le=1)
    """Share of the neighbours' labels in each round."""

    layers: int = Field(default=1, ge=1)
    """Rounds of propagation."""

    labels: int = Field(default=50, ge=1)
    """Labels kept per user."""

    shrinkage: float = Field(default=10.0, gt=0)
    """Positives at which a user counts half (k)."""

    samples: int = Field(default=4096, ge=1)
    """Negatives per batch where the softmax is sampled."""


def build(config: Config, context: ObjectiveContext) -> Objective:
    """Return the objective with the propagated labels."""
    labels = propagate_labels(
        context.liked,
        user_similarity(context.liked, config.neighbours),
        share=config.share,
        layers=config.layers,
        top=config.labels,
    )
    sampler = NegativeSampler.from_popularity(context.popularity)
    mixture = None if context.full_softmax else NegativeMixture(sampler, config.samples, None)
    return LabelPropagation(config, labels, mixture)


class LabelPropagation(Objective):
    """The objective.

    Args:
        config: Options.
        labels: (U, N) F.
        mixture: Where negatives come from; None: the whole catalogue.
    """

    def __init__(
        self, config: Config, labels: sp.csr_matrix, mixture: NegativeMixture | None
    ) -> None:
        super().__init__()
        self.config = config
        self.mixture = mixture
        self.labels = UserItems(labels)

    def forward(self, model: TwoTower, batch: Batch) -> Tensor:
        """Return the scalar loss."""
        taught, mass = self._taught(batch)
        liked = torch.zeros(batch.size, device=mass.device)
        liked = liked.index_add(0, batch.owner, batch.positive.float())
        strength = self.config.shrinkage / (self.config.shrinkage + liked)
        if self.mixture is None:
            scored = _softmax.score_all(model, taught)
            seen = scored.marked((batch.owner, batch.items))
            rest = _softmax.rest_of_all(scored, seen)
            losses = rest[taught.target_owner] - scored.of(taught.target_owner, taught.target_items)
        else:
            negatives = self.mixture.draw(taught)
            scored = _softmax.score_some(model, taught, negatives)
            own = scored.marked(
                (batch.owner, batch.items), (taught.target_owner, taught.target_items)
            )
            rest = _softmax.rest_by_sampling(
                scored, own, negatives, self.mixture, taught, logq=True
            )
            positive = scored.of(taught.target_owner, taught.target_items)
            losses = _softmax.against(positive, rest, taught)
        return _softmax.mean_over_users(losses * strength[taught.target_owner], taught, mass)

    def _taught(self, batch: Batch) -> tuple[Batch, Tensor]:
        """The batch with the propagated labels outside the history as targets, and their F."""
        owner, items, mass = self.labels.entries(batch.users)
        n_items = int(torch.cat([items, batch.items]).max()) + 1 if len(items) else 1
        fresh = ~torch.isin(owner * n_items + items, batch.owner * n_items + batch.items)
        fresh &= mass > 0
        return replace(batch, target_items=items[fresh], target_owner=owner[fresh]), mass[fresh]
