"""The two towers and how they are optimised."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from counterpoint.config.base import Section

Gate = Annotated[float, Field(ge=0)]


class TowerConfig(Section):
    """The two-tower model."""

    dim: int = Field(default=128, ge=2)
    """Width of item and user vectors."""

    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout in the towers' hidden layers."""

    id_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of item ids hidden in a step, so that text and modalities learn too."""

    text_gate: float = Field(default=0.2, ge=0)
    """Weight of the text part in an item vector."""

    modality_gate: float = Field(default=0.2, ge=0)
    """Weight of the part of a modality (``ingest.modalities``) in an item vector."""

    modality_gates: dict[str, Gate] = {}
    """Name of a modality -> its weight instead of ``modality_gate``."""

    gates: Literal["fixed", "learned"] = "fixed"
    """``learned``: the weights of text and modalities are trained from these values on; 0 stays."""

    modality_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of the items that lose a modality in a step, text included, each modality by itself, so
    that an item with any subset works. Without modalities text is never dropped."""

    id_scale: float = Field(default=0.08, gt=0)
    """Scale of the principal components of text and modalities that initialise the item ids."""

    smoothing: float = Field(default=0.7, ge=0, le=1)
    """Share of the graph neighbours in an item vector; 0: none."""

    history_smoothing: float = Field(default=0.0, ge=0, le=1)
    """Share of the graph neighbours in the vectors the user tower pools; 0: none."""

    neighbours: int = Field(default=20, ge=0)
    """Neighbours of an item in the graph both towers are smoothed over; 0: none."""

    graph: Literal["cosine", "lightgcn"] = "cosine"
    """Edges of the item graph: cosine of co-occurrence, weights summing to one (SGC), or the
    degree-normalised way item - user - item (LightGCN)."""

    layers: int = Field(default=1, ge=1)
    """Hops over the item graph."""

    layer_weights: tuple[float, ...] = ()
    """Weight of the item itself and of each hop, ``layers`` + 1 numbers of sum 1, for both towers;
    empty: the share of the neighbours is divided equally among the hops."""

    user_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of similar training users in a user vector, of a new user too; 0: none."""

    landmarks: int = Field(default=2048, ge=1)
    """Training users kept in the model for ``user_smoothing``."""

    user_temperature: float = Field(default=0.05, gt=0)
    """Temperature of the similarity to the landmarks: lower means fewer, nearer users."""

    temperature: float = Field(default=0.2, gt=0)
    """Softmax temperature at the first step."""

    temperature_schedule: Literal["learned", "fixed", "cosine"] = "learned"
    """``cosine`` goes from ``temperature`` to ``final_temperature`` over the steps."""

    final_temperature: float = Field(default=0.1, gt=0)
    """Softmax temperature at the last step of a ``cosine`` schedule."""

    pools: tuple[float, ...] = (1.2, 10.0)
    """Decay lengths (in positives since) of the recency pools of the history."""

    @model_validator(mode="after")
    def _check_layer_weights(self) -> "TowerConfig":
        given = self.layer_weights
        if given and (len(given) != self.layers + 1 or abs(sum(given) - 1.0) > 1e-6):
            raise ValueError(
                f"layer_weights {list(given)} must be {self.layers + 1} numbers of sum 1: the item "
                f"itself and {self.layers} hops. Change layers or layer_weights"
            )
        return self


class FitConfig(Section):
    """Optimisation."""

    epochs: int = Field(default=24, ge=1)
    """Passes over the users, each with another cut of their histories."""

    min_steps: int = Field(default=96, ge=1)
    """Small data sets repeat their examples until this many steps are done."""

    max_steps: int = Field(default=20_000, ge=1)
    """Upper bound of the optimiser steps."""

    batch_size: int = Field(default=256, ge=1)
    """Examples of one step."""

    learning_rate: float = Field(default=3e-3, gt=0)
    """Peak of the one-cycle schedule."""

    weight_decay: float = Field(default=1e-4, ge=0)
    """AdamW decay; the id tables have none."""

    checkpoint_steps: int = Field(default=50, ge=1)
    """Steps between two checkpoints."""

    checkpoints: str = "var/checkpoints"
    """Folder of the checkpoints of unfinished runs."""

    task_weights: Literal["fixed", "uncertainty", "gradient"] = "fixed"
    """How several objectives are weighted: by their ``weight``, times a learned uncertainty, or so
    that their gradients at the user vectors' last layer keep the proportions of ``weight``."""

    task_weight_rate: float = Field(default=0.025, gt=0, lt=1)
    """Learning rate of ``uncertainty`` and step size of ``gradient``."""

    gradient_asymmetry: float = Field(default=0.5, ge=0)
    """``gradient``: how much objectives that learn slowly are favoured (alpha of GradNorm)."""

    max_full_softmax_items: int = Field(default=50_000, ge=1)
    """Larger catalogues use sampled softmax with logQ correction."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """``auto``: CUDA where there is a GPU, else the CPU."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """``auto``: bfloat16 autocast on GPUs, float32 on CPUs."""

    history_length: int = Field(default=512, ge=1)
    """Newest events of a history that the model reads, in training and in service."""

    threads: int = Field(default=1, ge=0)
    """Threads of torch; 0 leaves torch's default. One is fastest on a shared small machine."""
