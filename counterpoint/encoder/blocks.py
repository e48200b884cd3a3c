"""The list of transformer blocks of a backbone, whatever its architecture calls it."""

from typing import Any

from torch import nn

from counterpoint.errors import ConfigError


def find(backbone: nn.Module) -> nn.ModuleList:
    """Return the blocks, in order.

    Raises:
        ConfigError: There is no single list of as many blocks as config.json says.
    """
    config: Any = backbone.config
    total = int(getattr(config, "num_hidden_layers", 0))
    lists = [
        module
        for module in backbone.modules()
        if isinstance(module, nn.ModuleList) and len(module) == total
    ]
    if not total or len(lists) != 1:
        raise ConfigError(
            [
                f"{len(lists)} lists of {total} blocks in {type(backbone).__name__}; parts of an "
                "encoder can be trained only where there is exactly one. Use "
                "train.encoder.tune.weights.method = full."
            ]
        )
    return lists[0]
