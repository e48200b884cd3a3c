"""What teacher and student minimise: cross-entropy of liking and squared error of the rating."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional


def labelled(
    logit: Tensor, rating: Tensor, click: Tensor, rated: Tensor, *, rating_weight: float
) -> Tensor:
    """Return the mean loss over the labels there are; NaN marks those there are not.

    Args:
        logit: (...) of liking.
        rating: (...) in standard deviations.
        click: (...) labels.
        rated: (...) ratings.
        rating_weight: Weight of the squared error.
    """
    loss = _mean(functional.binary_cross_entropy_with_logits, logit, click)
    if rating_weight:
        loss = loss + rating_weight * _mean(functional.mse_loss, rating, rated)
    return loss


def imitating(logit: Tensor, rating: Tensor, judged: Tensor, *, rating_weight: float) -> Tensor:
    """Return how far the student is from its teacher (Hinton, Vinyals and Dean 2015).

    Args:
        logit: (...) of the student.
        rating: (...) of the student.
        judged: (..., 2) logits and ratings of the teacher; NaN where it was not asked.
        rating_weight: Weight of the squared error.
    """
    soft = torch.sigmoid(judged[..., 0])
    return labelled(logit, rating, soft, judged[..., 1], rating_weight=rating_weight)


def _mean(function: Callable[[Tensor, Tensor], Tensor], guess: Tensor, label: Tensor) -> Tensor:
    there = ~torch.isnan(label)
    if not there.any():
        return guess.sum() * 0.0
    return function(guess[there], label[there])
