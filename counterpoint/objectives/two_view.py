"""Two augmented views of one history, or of one item, attract each other.

Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations" (SimCLR, 2020),
on histories as in CL4SRec (Xie et al. 2022). With the 2M vectors z of both views of M examples:

    loss = - mean over i: log( exp(<z_i, z_p(i)> / t) / sum over k != i: exp(<z_i, z_k> / t) )

where p(i) is the other view of i. Shapes: views (M, d), logits (2M, 2M). The views of a user are
two augmentations of the history (``sampling.augment``); those of an item are its id and its text
(with its modalities), which ties the two for items that have no id yet. The catalogue is not
touched as a whole, so the cost does not grow with it.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from counterpoint.batches import Batch
from counterpoint.errors import ConfigError
from counterpoint.objectives import _views
from counterpoint.objectives._objective import Objective, ObjectiveContext
from counterpoint.sampling.augment import Augmenter
from counterpoint.towers import TwoTower

MAX_ITEMS = 1024
"""Items of a batch that are compared with each other."""


class Config(_views.ViewOptions):
    """Options of the objective."""

    temperature: float = Field(default=0.2, gt=0)
    """Of the cosines."""

    tower: Literal["user", "item", "both"] = "user"
    """Whose views are compared; ``item`` needs item text or modalities."""


def build(config: Config, context: ObjectiveContext) -> Objective:
    """Return the objective.

    Raises:
        ConfigError: The items have no text, or the augmentations lack a graph.
    """
    if config.tower != "user" and not context.towers.item.has_content:
        raise ConfigError(
            [
                f"train.objectives.two_view.tower = {config.tower!r} compares the id of an item "
                "with its text and modalities, but the items have no text and none of those. Use "
                "tower=user or give a text encoder."
            ]
        )
    return TwoView(config, _views.augmenter(config, context))


class TwoView(Objective):
    """The objective; arguments as of ``build``."""

    def __init__(self, config: Config, change: Augmenter) -> None:
        super().__init__()
        self.config = config
        self.change = change

    def forward(self, model: TwoTower, batch: Batch) -> Tensor:
        """Return the scalar loss; of both towers the sum."""
        parts = []
        if self.config.tower != "item":
            kept = _views.has_history(batch)
            first, second = _views.two_views(model, batch, self.change)
            parts.append((model.user(first)[kept], model.user(second)[kept]))
        if self.config.tower != "user":
            items = torch.unique(batch.target_items)
            items = items[model.item.warm[items] & model.item.described()[items]]
            chosen = torch.randperm(len(items))[:MAX_ITEMS].to(items.device)
            parts.append(model.item.views(items[chosen]))
        return torch.stack(
            [_views.nt_xent(one, two, self.config.temperature) for one, two in parts]
        ).sum()
