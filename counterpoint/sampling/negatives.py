"""Negative items for sampled softmax, with the logQ correction that makes it consistent."""

from dataclasses import dataclass

import torch
from torch import Tensor


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
