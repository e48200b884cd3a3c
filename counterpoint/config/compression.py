"""Smaller forms of the item encoder."""

from pydantic import Field, field_validator

from counterpoint.compression.variants import parse
from counterpoint.config.base import Section


class CompressionConfig(Section):
    """Which smaller forms of the item encoder are tried, and what they must keep."""

    variants: tuple[str, ...] = ()
    """Forms such as ``int8_blocks`` or ``layers:5+fp16`` (docs/compression.md); the first that is
    accepted is served, fp32 where none is. Empty: nothing is tried."""

    min_overlap: float = Field(default=0.9, ge=0, le=1)
    """Share of the ten nearest items that must stay the same."""

    max_ndcg_loss: float = Field(default=0.02, ge=0)
    """Part of the NDCG@10 on new items that may be lost; the whole interval must be above."""

    min_users: int = Field(default=50, ge=2)
    """With fewer users who liked such an item the NDCG is not judged, and nothing is accepted."""

    max_texts: int = Field(default=2_000, ge=2)
    """Items that are encoded and compared; liked ones first."""

    folds: int = Field(default=5, ge=2)
    """These items are hidden from the model in so many parts, one after the other."""

    users: int = Field(default=1_000, ge=2)
    """Users judged on each part at most."""

    resamples: int = Field(default=2_000, ge=100)
    """Bootstrap samples."""

    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Coverage of the interval."""

    seed: int = 0
    """Seed of parts, users and bootstrap."""

    @field_validator("variants")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(parse(name).name for name in names))
