"""Which weights of the backbone learn: the last blocks, low-rank adapters, or all."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from counterpoint.config.weights import WeightsConfig
from counterpoint.encoder import blocks
from counterpoint.encoder.backbone import TextTower
from counterpoint.errors import ConfigError


@dataclass
class Trainable:
    """The weights of a tower that learn.

    Attributes:
        tower: The tower; adapters are part of it until ``merge``.
        frozen_blocks: Number of first blocks that stay as they are, so that their output can be
            computed once per text; 0: the embeddings learn too.
        sharded: The weights are divided among processes (sharding.py).
    """

    tower: TextTower
    frozen_blocks: int
    sharded: bool = False

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return what learns, by name."""
        found = self.tower.named_parameters()
        return {name: weight for name, weight in found if weight.requires_grad}

    def state_dict(self) -> dict[str, Tensor]:
        """Return what learns, by name: what a checkpoint must hold (checkpoints.py)."""
        return {name: weight.data for name, weight in self.parameters().items()}

    def load(self, state: dict[str, Tensor]) -> None:
        """Copy values of ``state_dict`` back."""
        with torch.no_grad():
            for name, weight in self.parameters().items():
                weight.copy_(state[name])

    def snapshot(self) -> dict[str, Tensor]:
        """Return copies of what learns."""
        return {name: weight.detach().clone() for name, weight in self.state_dict().items()}

    def merge(self) -> TextTower:
        """Fold adapters into the weights, freeze everything and return the plain tower."""
        backbone: Any = self.tower.backbone
        if hasattr(backbone, "merge_and_unload"):
            self.tower.backbone = backbone.merge_and_unload(safe_merge=True)
        return self.tower.requires_grad_(False).eval()


def choose(
    tower: TextTower,
    config: WeightsConfig,
    *,
    seed: int,
    where: str = "train.encoder.tune.weights",
) -> Trainable:
    """Set what learns; the tower is changed.

    Args:
        tower: Freshly loaded.
        config: Which weights.
        seed: Of the first values of adapters.
        where: Place of ``config`` in the configuration, for messages.

    Raises:
        ConfigError: The backbone has fewer blocks, or none that could be told apart.
    """
    backbone: Any = tower.backbone
    if config.gradient_checkpointing:
        # Recomputes with the same random state; the other form does not suit frozen inputs.
        backbone.gradient_checkpointing_enable({"use_reentrant": False})
    tower.requires_grad_(config.method == "full")
    if config.method == "full":
        return Trainable(tower, 0)
    layers = blocks.find(backbone)
    count = len(layers) if config.layers is None else config.layers
    if count > len(layers):
        raise ConfigError(
            [
                f"{where}.layers = {count}, but the encoder has {len(layers)} blocks. "
                "Lower it, or use null for all."
            ]
        )
    frozen = len(layers) - count
    if config.method == "last":
        for block in layers[frozen:]:
            block.requires_grad_(True)
        return Trainable(tower, frozen)
    with torch.random.fork_rng(devices=[]):
        # Several processes must begin alike.
        torch.manual_seed(seed)
        tower.backbone = _adapted(backbone, list(range(frozen, len(layers))), config, where)
    return Trainable(tower, frozen)


def _adapted(
    backbone: nn.Module, layers: list[int], config: WeightsConfig, where: str
) -> nn.Module:
    # Heavy, and needed for adapters only.
    from peft import LoraConfig, get_peft_model

    wanted = config.lora.targets
    found = blocks.find(backbone)
    chosen = {id(module) for layer in layers for module in found[layer].modules()}
    inside = [
        name.rpartition(".")[2]
        for block in found
        for name, module in block.named_modules()
        if isinstance(module, nn.Linear)
    ]
    targets = sorted({*inside}) if wanted == ("all-linear",) else list(wanted)
    unknown = [target for target in targets if target not in inside]
    if unknown or not targets:
        raise ConfigError(
            [
                f"{where}.lora.targets names {unknown}, which no block of the encoder has. "
                f"Allowed: all-linear, or some of {', '.join(sorted({*inside}))}."
            ]
        )
    settings = LoraConfig(
        r=config.lora.rank,
        lora_alpha=config.lora.alpha,
        lora_dropout=config.lora.dropout,
        # Whole names: peft finds the numbers of layers only where their list is not at the top.
        target_modules=[
            name
            for name, module in backbone.named_modules()
            if id(module) in chosen and name.rpartition(".")[2] in targets
        ],
    )
    return get_peft_model(backbone, settings)
