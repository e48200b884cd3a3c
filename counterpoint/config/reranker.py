"""The re-ranker: what reads a history beside a candidate, and how it is taught."""

from typing import Literal

from pydantic import Field

from counterpoint.config.base import Section
from counterpoint.config.encoder import WeightsConfig


class NegativesConfig(Section):
    """What a liked item is compared with, beside the events that were not liked."""

    popular: int = Field(default=2, ge=0)
    """Items drawn by popularity, for each liked one."""

    retrieved: int = Field(default=2, ge=0)
    """Items drawn from the recommender's best ``depth``, for each liked one."""

    power: float = Field(default=0.75, ge=0)
    """Items are drawn in proportion to (users who liked them + 1) to this power."""


class ReaderConfig(Section):
    """The teacher: the language model reads history and candidate as one text."""

    weights: WeightsConfig = WeightsConfig()
    """Which weights of the language model learn."""

    max_tokens: int = Field(default=192, ge=16)
    """Tokens of history and candidate together; the oldest events are left out."""

    candidate_tokens: int = Field(default=40, ge=4)
    """Tokens of the candidate at most."""

    hidden: int = Field(default=64, ge=1)
    """Width of the head."""

    batch_size: int = Field(default=32, ge=1)
    """Pairs of a step."""

    max_steps: int = Field(default=100, ge=1)
    """Most optimiser steps."""

    learning_rate: float = Field(default=1e-4, gt=0)
    """Peak, of the language model."""

    head_learning_rate: float = Field(default=1e-3, gt=0)
    """Peak, of the head."""

    evaluate_steps: int = Field(default=50, ge=1)
    """Steps between two looks at the validation pairs."""

    patience: int = Field(default=2, ge=1)
    """Looks without a better one after which training stops."""

    valid_pairs: int = Field(default=500, ge=1)
    """Validation pairs it is judged on at most."""

    transfer_pairs: int = Field(default=1000, ge=0)
    """Further pairs that it judges for the student to learn from."""


class StudentConfig(Section):
    """What serves: attention over the text vectors of the history, without language model."""

    dim: int = Field(default=48, ge=1)
    """Width to which text vectors are projected."""

    hidden: int = Field(default=64, ge=1)
    """Width of the hidden layer."""

    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout before and after the hidden layer."""

    events: int = Field(default=50, ge=1)
    """Newest events of a history that it reads."""

    batch_size: int = Field(default=128, ge=1)
    """Events of a step, each with its negatives."""

    epochs: int = Field(default=6, ge=1)
    """Most passes over the examples."""

    learning_rate: float = Field(default=2e-3, gt=0)
    """Peak."""

    weight_decay: float = Field(default=0.01, ge=0)

    evaluate_steps: int = Field(default=50, ge=1)
    """Steps between two looks at the validation examples."""

    patience: int = Field(default=4, ge=1)
    """Looks without a better one after which training stops."""

    imitation: float = Field(default=0.5, ge=0)
    """Weight of the teacher's judgements beside the labels; 0: the labels alone."""


class RerankerConfig(Section):
    """A second look at the best items of the recommender."""

    reader: ReaderConfig | None = None
    """The teacher, a language model that reads each pair; null: the student learns from the labels
    alone. It costs minutes and gained nothing on MovieLens-100K (docs/reranking.md)."""

    student: StudentConfig = StudentConfig()
    negatives: NegativesConfig = NegativesConfig()

    max_examples: int = Field(default=12_000, ge=1)
    """Events that are learnt from, drawn at random from those of the train fold."""

    max_valid: int = Field(default=3_000, ge=1)
    """Events of the validation fold that training is judged on at most."""

    rating: float = Field(default=0.3, ge=0)
    """Weight of the squared error of the rating, in variances of the ratings; 0: none."""

    depth: int = Field(default=100, ge=2)
    """Best items of the recommender that are looked at again."""

    weights: tuple[float, ...] = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6)
    """Grid of the weight beside the recommender's score, both standardised over the items looked
    at; chosen by NDCG@10 on validation, 0 unless another is clearly better."""

    keep: Literal["if_better", "always"] = "if_better"
    """``always`` serves the head (model ``rerank``) even where its weight in ``recommend`` is 0."""
