"""Masked training of the text encoder on histories as text, before its contrastive training."""

from typing import Literal

from pydantic import Field, model_validator

from counterpoint.config.base import Section
from counterpoint.config.weights import WeightsConfig


class PretrainConfig(Section):
    """Self-supervised training on what users did, written as text (behaviour_text.py)."""

    weights: WeightsConfig = WeightsConfig()

    masked_token: float = Field(default=1.0, ge=0)
    """Weight of the loss on hidden words (encoders) or on the next token (decoders)."""

    masked_item: float = Field(default=1.0, ge=0)
    """Weight of the loss on hidden items (encoders) or on the next item (decoders)."""

    token_share: float = Field(default=0.15, gt=0, le=0.5)
    """Share of the tokens that are hidden."""

    item_share: float = Field(default=0.3, gt=0, le=0.5)
    """Share of the items of a history that are hidden, but one at least."""

    whole_words: bool = True
    """Hide all parts of a word or none."""

    max_tokens: int = Field(default=128, ge=16)
    """Of a history as text; the newest events that fit are read."""

    negatives: int = Field(default=64, ge=0)
    """Items drawn evenly among all, beside the hidden items of the batch, that a hidden one is told
    from."""

    temperature: float = Field(default=0.05, gt=0)
    """Of the softmax over cosines with item vectors."""

    logq: bool = True
    """Correct for popular items being drawn more often (Bengio and Senecal 2008)."""

    batch_size: int = Field(default=16, ge=1)
    """Histories of a step."""

    steps: int = Field(default=200, ge=1)
    """Optimiser steps."""

    learning_rate: float = Field(default=1e-4, gt=0)
    """Peak; rises over ``warmup`` of the steps, then falls linearly."""

    warmup: float = Field(default=0.1, ge=0, lt=1)
    weight_decay: float = Field(default=0.01, ge=0)
    max_gradient: float = Field(default=1.0, gt=0)
    """Longer gradients are shortened to this norm."""

    withheld: float = Field(default=0.1, ge=0, lt=1)
    """Share of the users whose histories are kept out and only measured, before and after."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """``auto``: bfloat16 autocast on GPUs, float32 on CPUs."""

    checkpoint_steps: int = Field(default=20, ge=1)
    """Steps between two checkpoints."""

    @model_validator(mode="after")
    def _some(self) -> "PretrainConfig":
        if self.masked_token + self.masked_item <= 0:
            raise ValueError("masked_token and masked_item are both 0; at least one must count")
        return self
