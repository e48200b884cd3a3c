"""Thresholds of the data validation."""

from pydantic import Field

from counterpoint.config.base import Section


class ValidationConfig(Section):
    """When validation warns and when it stops the pipeline."""

    warn_fraction: float = Field(default=0.001, ge=0, le=1)
    """Share of quarantined rows of a table above which the verdict is ``warn``."""

    fail_fraction: float = Field(default=0.05, ge=0, le=1)
    """Share of quarantined rows of a table above which the verdict is ``fail``: the pipeline stops."""

    min_interactions: int = Field(default=20, ge=1)
    """Fewer accepted interactions than this fail the suite."""

    min_users: int = Field(default=2, ge=1)
    """Fewer distinct users fail the suite."""

    min_items: int = Field(default=2, ge=1)
    """Fewer distinct items fail the suite."""

    examples: int = Field(default=3, ge=1)
    """Example rows shown for a broken rule."""
