"""Two augmented views of the histories of a batch, shared by several objectives."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from counterpoint.batches import Batch
from counterpoint.config.base import Section
from counterpoint.errors import ConfigError
from counterpoint.objectives._objective import ObjectiveContext
from counterpoint.precision import at_least_single
from counterpoint.sampling.augment import Augmenter
from counterpoint.towers import TwoTower


class ViewOptions(Section):
    """Options of objectives that compare two views of a history."""

    weight: float = Field(default=0.1, ge=0)
    """Factor of this term in the total loss."""

    augmentations: tuple[Literal["crop", "mask", "substitute", "reorder"], ...] = Field(
        default=("crop", "mask", "reorder"), min_length=1
    )
    """Of these one is drawn for each view of each history."""

    share: float = Field(default=0.3, gt=0, lt=1)
    """Share of a history's events that an augmentation removes, replaces or shuffles."""


def augmenter(options: ViewOptions, context: ObjectiveContext) -> Augmenter:
    """Return the augmenter of the options.

    Raises:
        ConfigError: Substitution is asked for, but the towers have no item graph.
    """
    if "substitute" in options.augmentations and not context.towers.item.neighbour_index.shape[1]:
        raise ConfigError(
            [
                "The augmentation substitute needs similar items, but the towers have no item "
                "graph. Raise train.tower.neighbours above 0 or leave substitute out."
            ]
        )
    return Augmenter(options.augmentations, options.share)


def two_views(model: TwoTower, batch: Batch, change: Augmenter) -> tuple[Batch, Batch]:
    """Return two augmented batches of the same histories."""
    neighbours = model.item.neighbour_index, model.item.neighbour_weight
    return change(batch, neighbours), change(batch, neighbours)


def has_history(batch: Batch) -> Tensor:
    """(B,) bool: examples with an event; the others have nothing to augment."""
    return torch.bincount(batch.owner, minlength=batch.size) > 0


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Return the scalar normalised temperature-scaled cross-entropy of M pairs; 0 for one pair.

    Args:
        first: (M, d) unit vectors.
        second: (M, d) their partners.
        temperature: Of the cosines.
    """
    count = len(first)
    both = torch.cat([first, second])
    logits = at_least_single(both @ both.T) / temperature
    logits = logits.masked_fill(torch.eye(2 * count, dtype=torch.bool, device=both.device), -1e9)
    partner = torch.arange(2 * count, device=both.device).roll(count)
    return functional.cross_entropy(logits, partner, reduction="sum") / max(2 * count, 1)
