"""Evaluation and gate."""

from typing import Any, Literal

from pydantic import Field

from counterpoint.config.base import Section


class EvaluateConfig(Section):
    """What is measured on the test fold."""

    k: int = Field(default=10, ge=1)
    """Length of the lists."""

    metrics: tuple[str, ...] = Field(
        default=(
            "ndcg",
            "ndcg_debiased",
            "recall",
            "recall@20",
            "recall_stratified",
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

    tune_baselines: Literal["none", "closed_form", "all"] = "closed_form"
    """Choose the baselines' options from their grids on the validation fold: of none, of those
    not trained by gradient steps (seconds), or of all (many minutes). Given options are kept."""

    tuning_trials: int = Field(default=24, ge=1)
    """Fits per baseline at most; of a longer grid a seeded sample is tried."""

    resamples: int = Field(default=2000, ge=100)
    """Paired bootstrap resamples over users."""

    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Coverage of the intervals."""

    sparse_history: int = Field(default=5, ge=2)
    """Users with earlier positives, but fewer than this, are the slice ``sparse_users``."""

    short_history: int = Field(default=20, ge=1)
    """Users with fewer earlier positives than this are the slice ``short_history``."""

    head_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of the catalogue, the most liked items first, that is the slice ``head_items``."""

    attribute_slices: int = Field(default=6, ge=0)
    """Slices by attribute token of the users, and as many of the items: the most frequent ones."""

    attribute_min_users: int = Field(default=30, ge=1)
    """Attribute tokens of fewer test users give no slice."""

    extend_champion: bool = True
    """Give the champion the items it does not know, from their text and attributes, before it is
    compared, as service would; else it cannot recommend them."""

    seed: int = 0
    """Of the bootstrap, of the order among equal scores, and of the sampled negatives."""


class GateConfig(Section):
    """When a candidate replaces the champion."""

    must_beat: tuple[str, ...] = ("popularity", "item_knn")
    """Baselines whose paired confidence interval must lie below the candidate (lower bound > 0),
    with a p-value that stands the correction for the number of comparisons."""

    champion_margin: float = Field(default=0.01, ge=0)
    """Largest loss of the primary metric against the champion that the interval may include, as a
    fraction of the champion's value."""

    slice_margin: float = Field(default=0.05, ge=0)
    """The same for each slice."""

    slice_margins: dict[str, float] = {}
    """Margins of single slices that differ from ``slice_margin``, such as ``cold_items: 0.2``."""

    slice_min_users: int = Field(default=30, ge=5)
    """Slices of fewer users are listed as not judged."""

    unjudged_slices: Literal["allow", "hold"] = "allow"
    """What a slice does that has too few users, or an interval too wide for its margin."""

    max_warm_loss: float = Field(default=0.03, ge=0, le=1)
    """Largest share of the primary metric on known items that competing new items may cost."""

    min_users: int = Field(default=20, ge=1)
    """Fewer test users than this hold the candidate: no conclusion is possible."""
