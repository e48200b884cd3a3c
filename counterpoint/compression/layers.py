"""Layer pruning: some transformer layers are left out, the others keep their weights.

Sajjad et al. 2023, *On the effect of dropping layers of pre-trained transformer models*: the upper
layers of an encoder matter least. Nothing is trained afterwards, so the vectors change.
"""

import copy
from collections.abc import Sequence
from typing import Any

from torch import nn

from counterpoint.compression.unsupported import Unsupported
from counterpoint.encoder.backbone import TextTower


def prune(tower: TextTower, layers: Sequence[int]) -> TextTower:
    """Return a copy with only these layers.

    Args:
        tower: The whole encoder; stays as it is.
        layers: One-based, ascending.

    Raises:
        Unsupported: The encoder has no such layers, or no list of layers.
    """
    smaller = copy.deepcopy(tower)
    config: Any = smaller.backbone.config
    total = int(getattr(config, "num_hidden_layers", 0))
    lists = [
        (parent, name, child)
        for parent in smaller.backbone.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.ModuleList) and len(child) == total
    ]
    if not total or len(lists) != 1:
        raise Unsupported(
            f"{len(lists)} lists of {total} layers in {type(smaller.backbone).__name__}; exactly "
            "one can be pruned"
        )
    if max(layers) > total:
        raise Unsupported(f"layer {max(layers)} of an encoder that has {total}")
    parent, name, child = lists[0]
    setattr(parent, name, nn.ModuleList(child[layer - 1] for layer in layers))
    config.num_hidden_layers = len(layers)
    return smaller.eval()
