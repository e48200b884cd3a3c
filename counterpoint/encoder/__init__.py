"""The language model that turns text into vectors."""

from counterpoint.encoder.backbone import TextTower
from counterpoint.encoder.vectors import TextEncoder

__all__ = ["TextEncoder", "TextTower"]
