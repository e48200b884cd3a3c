"""Negative items for sampled softmax, with the logQ correction that makes it consistent."""

from dataclasses import dataclass

import torch
from torch import Tensor

from counterpoint.batches import Batch
from counterpoint.sampling.augment import Neighbours, similar_items


@dataclass(frozen=True)
class NegativeSampler:
    """Draws items from a smoothed popularity distribution Q.

    Sampled softmax (Bengio and Senécal 2008): subtracting ``log(S * Q)`` from the logits of the S
    samples makes their sum of exponentials an unbiased estimate of the sum over the catalogue. The
    positive stands beside them with certainty, so its logit is not corrected.

    Attributes:
        probability: (N,) Q, sums to 1.
    """

    probability: Tensor

    @classmethod
    def from_popularity(cls, popularity: Tensor, *, power: float = 0.75) -> "NegativeSampler":
        """Q proportional to ``(popularity + 1) ** power``; every item can be drawn.

        Args:
            popularity: (N,) counts.
            power: 0 is uniform, 1 is proportional.
        """
        mass = (popularity.double() + 1.0) ** power
        return cls((mass / mass.sum()).float())

    def draw(self, samples: int) -> Tensor:
        """Return (S,) items drawn with replacement."""
        return torch.multinomial(self.probability, samples, replacement=True)

    def correction(self, items: Tensor, samples: int) -> Tensor:
        """Return ``log(S * Q(item))``, to be subtracted from the logits of the samples."""
        return torch.log(self.probability.to(items.device)[items] * samples)


@dataclass(frozen=True)
class NegativeMixture:
    """Negatives shared by a batch: its targets, drawn items, or both.

    Mixed negatives of Yang et al., "Mixed Negative Sampling for Learning Two-tower Neural Networks"
    (2020). A target of another user is a draw from P, the popularity (Yi et al., "Sampling-Bias-
    Corrected Neural Modeling for Large Corpus Item Recommendations", 2019). The correction is the
    logarithm of how often an item is expected among all negatives together (the balance heuristic
    of multiple importance sampling, Veach and Guibas 1995), which keeps the estimate consistent.

    Attributes:
        sampler: Of the drawn items; None: none are drawn.
        samples: How many are drawn (S).
        target_probability: (N,) P; None: the targets are no negatives.
    """

    sampler: NegativeSampler | None
    samples: int
    target_probability: Tensor | None

    def draw(self, batch: Batch) -> Tensor:
        """Return (M,) negatives, the targets of the batch first."""
        parts = []
        if self.target_probability is not None:
            parts.append(batch.target_items)
        if self.sampler is not None:
            parts.append(self.sampler.draw(self.samples).to(batch.items.device))
        return torch.cat(parts)

    def correction(self, items: Tensor, batch: Batch) -> Tensor:
        """Return the (1, M) or (B, M) logarithms of the expected counts of the negatives.

        A user's own targets are no negatives of that user, so the others' are counted alone.

        Args:
            items: (M,) negatives.
            batch: Of the targets.
        """
        if self.target_probability is None and self.sampler is not None:
            return self.sampler.correction(items, self.samples).unsqueeze(0)
        expected = torch.zeros(batch.size, len(items), device=items.device)
        if self.target_probability is not None:
            own = torch.bincount(batch.target_owner, minlength=batch.size)
            others = (len(batch.target_items) - own).unsqueeze(1)
            expected = others * self.target_probability.to(items.device)[items]
        if self.sampler is not None:
            expected = expected + self.samples * self.sampler.probability.to(items.device)[items]
        return torch.log(expected)


def similar_to_targets(batch: Batch, neighbours: Neighbours, count: int) -> Tensor:
    """Return (B, H) items similar by co-occurrence to random targets of each user.

    Args:
        batch: Targets; the row of a user without any holds other users' items.
        neighbours: (N, K) items and weights.
        count: Items per user (H).
    """
    device = batch.items.device
    own = torch.bincount(batch.target_owner, minlength=batch.size)
    first = own.cumsum(0) - own
    noise = torch.rand(batch.size, count).to(device)
    place = first.unsqueeze(1) + (noise * own.unsqueeze(1)).long()
    place = place.clamp(max=max(len(batch.target_items) - 1, 0))
    if not len(batch.target_items):
        return place
    return similar_items(batch.target_items[place].flatten(), neighbours).view(place.shape)
