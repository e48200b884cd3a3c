"""Drift monitoring and the decision to retrain."""

import math
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from counterpoint.config.base import Section

MAX_SIGNALS = 25


class MonitorConfig(Section):
    """Compares a window of new events with the reference snapshot of the champion."""

    window_days: float = Field(default=30.0, gt=0)
    """Longest window, up to ``window_end``; it never reaches back into the reference."""

    window_end: str | None = None
    """ISO 8601 instant (UTC unless it names an offset); none: the last event of the data."""

    min_events: int = Field(default=500, ge=1)
    """A smaller window gives the verdict ``insufficient_data``."""

    min_users: int = Field(default=30, ge=2)
    """A window of fewer users gives ``insufficient_data``; signals that look at some users only
    need as many of those."""

    max_users: int = Field(default=20_000, ge=100)
    """Larger windows are sampled to this many users (whole users, seeded)."""

    alpha: float = Field(default=0.01, gt=0, lt=1)
    """Family-wise error rate of the drift tests (Holm)."""

    draws: int = Field(default=2_000, ge=100)
    """Randomisations behind each p-value; raised if ``alpha`` could not be reached with so few."""

    psi_threshold: float = Field(default=0.1, gt=0)
    """Population stability index, in excess of chance, from which a significant change matters."""

    auc_threshold: float = Field(default=0.7, gt=0.5, lt=1)
    """Classifier two-sample AUC on text embeddings from which drift matters."""

    share_threshold: float = Field(default=0.1, gt=0, lt=1)
    """Rise of the share of unknown users, or of events on unknown items, from which it matters."""

    score_threshold: float = Field(default=0.25, gt=0, lt=1)
    """Kolmogorov-Smirnov distance of the users' mean top-k scores worth a look; never counted."""

    quality_drop: float = Field(default=0.2, gt=0, lt=1)
    """Relative drop of realised NDCG against the evaluation that alone asks for retraining."""

    drifts_to_retrain: int = Field(default=2, ge=1)
    """This many drifted signals ask for retraining."""

    consecutive: int = Field(default=1, ge=1)
    """Hysteresis: windows in a row that must ask for retraining before it starts."""

    cooldown_hours: float = Field(default=24.0, ge=0)
    """No second retraining starts earlier than this after the last one."""

    webhook: str | None = None
    """URL that alerts are posted to; none: no alert is sent. Like all of the configuration it is
    shown in runs and logs, so it must hold no secret."""

    webhook_format: Literal["alertmanager", "receiver"] = "alertmanager"
    """``alertmanager``: what Alertmanager's ``/api/v2/alerts`` reads; ``receiver``: what
    Alertmanager posts to its webhook receivers (version 4), for a service in their place."""

    webhook_timeout_s: float = Field(default=5.0, gt=0)
    """Seconds one attempt to deliver an alert may take."""

    webhook_attempts: int = Field(default=3, ge=1)
    """Attempts to deliver an alert."""

    evidently_rows: int = Field(default=10_000, ge=0)
    """Events of each side shown in the Evidently report; 0 leaves it out."""

    state: str = "var/monitoring"
    """Folder of the audit log and the lock."""

    seed: int = 0
    """Seed of permutations and samples."""

    @field_validator("window_end")
    @classmethod
    def _is_instant(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                datetime.fromisoformat(value)
            except ValueError:
                raise ValueError(
                    "must be an ISO 8601 instant such as 2026-11-22T06:00:00Z"
                ) from None
        return value

    @field_validator("webhook")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                parts = urlsplit(value)
            except ValueError:
                parts = urlsplit("")
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError(
                    "must be an address such as http://alertmanager:9093/api/v2/alerts"
                )
        return value

    @property
    def enough_draws(self) -> int:
        """``draws``, raised until Holm's smallest p-value over all signals can get below alpha."""
        return max(self.draws, math.ceil(2 * MAX_SIGNALS / self.alpha))

    @property
    def end(self) -> datetime | None:
        """``window_end`` as an instant in UTC."""
        if self.window_end is None:
            return None
        instant = datetime.fromisoformat(self.window_end)
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
