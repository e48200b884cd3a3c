"""Evaluation and gate."""

from typing import Any

from pydantic import Field

from counterpoint.config.base import Section


class EvaluateConfig(Section):
    """What is measured on the test fold."""

    k: int = Field(default=10, ge=1)
    """Length of the lists."""

    metrics: tuple[str, ...] = Field(
        default=(
            "ndcg",
            "recall",
            "recall@20",
            "precision",
            "f1",
            "mrr",
            "map",
            "hit_rate",
            "coverage",
            "novelty",
            "diversity",
            "popularity_bias",
            "gini",
        ),
        min_length=1,
    )
    """Plugins of counterpoint/metrics, at another depth than ``k`` as ``recall@20``; the first is
    the primary one, which decides."""

    baselines: dict[str, dict[str, Any]] = {
        "popularity": {},
        "item_knn": {},
        "ease": {},
        "edlae_recency": {},
    }
    """Plugin of counterpoint/baselines -> its options."""

    resamples: int = Field(default=2000, ge=100)
    """Paired bootstrap resamples over users."""

    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Coverage of the intervals."""

    short_history: int = Field(default=20, ge=1)
    """Users with fewer earlier positives than this are the slice ``short_history``."""

    head_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of the catalogue, the most liked items first, that is the slice ``head_items``."""

    seed: int = 0
    """Of the bootstrap, of the order among equal scores, and of the sampled negatives."""


class GateConfig(Section):
    """When a candidate replaces the champion."""

    must_beat: tuple[str, ...] = ("popularity", "item_knn")
    """Baselines whose paired confidence interval must lie below the candidate (lower bound > 0)."""

    champion_margin: float = Field(default=0.01, ge=0)
    """Largest loss of the primary metric against the champion that the interval may include, as a
    fraction of the champion's value."""

    min_users: int = Field(default=20, ge=1)
    """Fewer test users than this hold the candidate: no conclusion is possible."""
