"""Examples as the padded tensors that the modules read."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from counterpoint import model_inputs
from counterpoint.histories import Histories
from counterpoint.reranker.examples import Examples
from counterpoint.reranker.features import PairFeatures
from counterpoint.reranker.statistics import Units

AT_ONCE = 256
"""Events whose features are computed at once."""


@dataclass(frozen=True)
class Batch:
    """B events with C candidates.

    Attributes:
        history: (B, L) int64 one-based.
        kind: (B, L) int64.
        candidate: (B, C) int64 one-based, 0 = none.
        told: (B, C, 5).
        click: (B, C) 1, 0 or NaN.
        rating: (B, C) in standard deviations from the mean, or NaN.
    """

    history: Tensor
    kind: Tensor
    candidate: Tensor
    told: Tensor
    click: Tensor
    rating: Tensor


def batch(examples: Examples, rows: npt.NDArray[np.int64], events: int, units: Units) -> Batch:
    """Return some examples as tensors.

    Args:
        examples: All.
        rows: (B,) which.
        events: Newest events of a history that are read.
        units: Of the rating.
    """
    part = examples.take(rows)
    history, kind = histories(part.histories, events)
    lenient = np.broadcast_to(part.leniency[:, None], part.retrieval.shape)
    own = np.stack([part.retrieval, lenient], axis=-1)
    told = np.concatenate([part.statistics, own], axis=-1)
    return Batch(
        history,
        kind,
        torch.from_numpy(part.items + 1),
        torch.from_numpy(told),
        torch.from_numpy(part.click),
        torch.from_numpy((part.rating - np.float32(units.mean)) / np.float32(units.spread)),
    )


def plain_features(
    examples: Examples,
    rows: npt.NDArray[np.int64],
    features: PairFeatures,
    units: Units,
    events: int,
) -> Tensor:
    """Return (R, C, K) plain features of some events."""
    parts = []
    for part in np.split(rows, range(AT_ONCE, len(rows), AT_ONCE)):
        given = batch(examples, part, events, units)
        parts.append(features(given.history, given.kind, given.candidate, given.told)[0])
    return torch.cat(parts)


def histories(given: Histories, events: int) -> tuple[Tensor, Tensor]:
    """Return (B, L) items and (B, L) kinds of the newest events."""
    padded = model_inputs.pad(given, (), events)
    return torch.from_numpy(padded.history), torch.from_numpy(padded.history_kind)
