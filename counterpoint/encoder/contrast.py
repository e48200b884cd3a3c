"""Contrastive losses over the different texts of a step.

Every text of a step is encoded once, however many pairs it is in, and every one of them is a
candidate for every anchor: a softmax over the sampled items, not over the other pairs' positives.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Positives:
    """Which of the U texts of a step belong together.

    Attributes:
        anchor: (P,) places.
        positive: (P,) places.
        blocked: (P, U) bool, no negatives of the pair, for the same user liked them; both items of
            the pair are marked too.
    """

    anchor: Tensor
    positive: Tensor
    blocked: Tensor


def info_nce(
    vectors: Tensor,
    pairs: Positives,
    *,
    temperature: float,
    log_inclusion: Tensor | None = None,
    widths: Sequence[int] = (),
) -> Tensor:
    """InfoNCE (van den Oord et al. 2018) in both directions of each pair.

    ``-log softmax_j(<x_i, x_j> / temperature - log q_j)`` at the positive, where q_j is the
    probability that item j is in the step at all (logQ: Bengio and Senecal 2008; Yi et al. 2019).

    Args:
        vectors: (U, D) unit vectors.
        pairs: What belongs together.
        temperature: Of the softmax.
        log_inclusion: (U,) log q; none: no correction.
        widths: Further prefixes of the vectors that must do the same alone (Matryoshka, Kusupati et
            al. 2022); the loss is the mean over all widths.
    """
    losses = []
    for width in dict.fromkeys((vectors.shape[1], *widths)):
        part = vectors
        if width < vectors.shape[1]:
            part = functional.normalize(vectors[:, :width], dim=-1)
        for one, other in ((pairs.anchor, pairs.positive), (pairs.positive, pairs.anchor)):
            logits = part[one] @ part.T / temperature
            if log_inclusion is not None:
                logits = logits - log_inclusion
            keep = ~pairs.blocked
            keep[torch.arange(len(other), device=keep.device), other] = True
            losses.append(functional.cross_entropy(logits.masked_fill(~keep, -torch.inf), other))
    return torch.stack(losses).mean()


def two_views(
    first: Tensor, second: Tensor, *, temperature: float, same: Tensor | None = None
) -> Tensor:
    """SimCSE (Gao et al. 2021): each text must find its other dropout view among all texts.

    Args:
        first: (U, D) unit vectors.
        second: (U, D) of the same texts with other dropout.
        temperature: Of the softmax.
        same: (U, U) bool, texts that are equal: no negatives of each other.
    """
    logits = first @ second.T / temperature
    if same is not None:
        apart = same.clone().fill_diagonal_(False)
        logits = logits.masked_fill(apart, -torch.inf)
    labels = torch.arange(len(first), device=first.device)
    return (
        functional.cross_entropy(logits, labels) + functional.cross_entropy(logits.T, labels)
    ) / 2
