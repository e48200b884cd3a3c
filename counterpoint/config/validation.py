"""Thresholds of the data validation."""

from datetime import UTC, datetime

from pydantic import AwareDatetime, Field

from counterpoint.config.base import Section


class ValidationConfig(Section):
    """When validation warns and when it stops the pipeline."""

    warn_fraction: float = Field(default=0.001, ge=0, le=1)
    """Share of quarantined rows of a table above which the verdict is ``warn``."""

    fail_fraction: float = Field(default=0.05, ge=0, le=1)
    """Share of quarantined rows of a table, copies apart, above which the verdict is ``fail``."""

    duplicate_fraction: float = Field(default=0.4, ge=0, le=1)
    """Share of rows that only repeat an earlier one above which the verdict is ``fail``. Taking
    copies out loses nothing and some data sets are full of them (a fifth of Amazon's All Beauty of
    2018); a file that was read twice has 0.5."""

    min_interactions: int = Field(default=20, ge=1)
    """Fewer accepted interactions than this fail the suite."""

    min_users: int = Field(default=2, ge=1)
    """Fewer distinct users fail the suite."""

    min_items: int = Field(default=2, ge=1)
    """Fewer distinct items fail the suite."""

    max_id_length: int = Field(default=256, ge=1)
    """Longer ids, in characters, are quarantined: they are usually text of another column."""

    earliest: AwareDatetime = datetime(1970, 1, 1, tzinfo=UTC)
    """Interactions before this instant are quarantined."""

    future_days: float = Field(default=1.0, ge=0)
    """Interactions later than now by more than this are quarantined."""

    events_per_minute: int = Field(default=60, ge=1)
    """Users with more events in one minute are reported as anomalies; their rows stay."""

    activity_deviations: float = Field(default=6.0, gt=0)
    """Users whose number of events (its logarithm) lies further above the median, in robust
    standard deviations, are reported as anomalies; their rows stay."""

    examples: int = Field(default=3, ge=1)
    """Example rows shown for a broken rule."""
