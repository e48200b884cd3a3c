"""Which weights of a language model learn."""

from typing import Literal

from pydantic import Field

from counterpoint.config.base import Section


class LoraConfig(Section):
    """Low-rank adapters (Hu et al. 2022) on linear layers; merged into the weights afterwards."""

    rank: int = Field(default=8, ge=1)
    """Rank of the update of each matrix."""

    alpha: int = Field(default=16, ge=1)
    """The update is scaled by alpha / rank."""

    dropout: float = Field(default=0.05, ge=0, lt=1)
    """Dropout before the adapters."""

    targets: tuple[str, ...] = ("all-linear",)
    """Ends of the names of the layers that are adapted; ``all-linear``: all within the blocks."""


class WeightsConfig(Section):
    """Which weights of the language model learn."""

    method: Literal["last", "lora", "full"] = "last"
    """``last``: the last blocks; ``lora``: adapters in the last blocks; ``full``: everything."""

    layers: int | None = Field(default=2, ge=1)
    """Number of last blocks for ``last`` and ``lora``; null: all blocks. What lies below them is
    computed once per text and kept."""

    lora: LoraConfig = LoraConfig()

    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them."""
