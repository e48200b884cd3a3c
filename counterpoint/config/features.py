"""Feature store, split and training examples."""

from typing import Literal

from pydantic import Field

from counterpoint.config.base import Section


class SplitConfig(Section):
    """How events are divided into train, validation and test (see docs/evaluation.md)."""

    protocol: Literal[
        "global_temporal", "per_user", "leave_last_out", "cold_items", "warm_and_cold"
    ] = "global_temporal"
    """``global_temporal``: by time over all users, test users folded in with the first half of
    their events in the window (no leak); ``per_user``: per user by time; ``leave_last_out``: last
    positive; ``cold_items``: the positives on withheld items, ranked among these alone;
    ``warm_and_cold``: ``within`` with some items withheld from the fit, whole catalogue."""

    within: Literal["global_temporal", "per_user", "leave_last_out"] = "per_user"
    """Of ``cold_items`` and ``warm_and_cold``: how the events are split by time."""

    cold_share: float = Field(default=0.1, gt=0, lt=1)
    """Of ``cold_items`` and ``warm_and_cold``: share of the items that is withheld."""

    item_seed: int = 0
    """Of ``cold_items`` and ``warm_and_cold``: seed of the draw of the withheld items."""

    valid_fraction: float = Field(default=0.1, gt=0, lt=0.5)
    """Share of the events (or of each user's) that is the validation fold."""

    test_fraction: float = Field(default=0.1, ge=0, lt=0.5)
    """``0`` makes no test fold (used by ``counterpoint fit``)."""

    seed: int = 0
    """Seed of the shuffle of equal timestamps."""


class FeaturesConfig(Section):
    """Point-in-time features and the examples drawn from them."""

    split: SplitConfig = SplitConfig()

    history_length: int = Field(default=512, ge=1)
    """Longest history kept in the feature store; the newest events stay."""

    examples_per_user: int = Field(default=24, ge=1)
    """Cuts drawn per user and fit; the trainer walks through them, one per user and epoch."""

    max_examples: int = Field(default=400_000, ge=1)
    """Upper bound of examples per fit; beyond it every user gets fewer, then some get none."""

    targets: int = Field(default=20, ge=1)
    """Next positives after the cut that are the targets of one example."""

    store: str = "feature_repo/stores/local.yaml"
    """Feast configuration: registry, offline and online store."""

    state: str = "var/feast"
    """Folder of the feature tables, the local registry and the local online store."""

    keep_states: int = Field(default=2, ge=1)
    """Feature stores of this many data versions stay on disk, the newest first."""

    seed: int = 0
    """Seed of the cuts."""
