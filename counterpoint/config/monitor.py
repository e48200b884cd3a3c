"""Drift monitoring and the decision to retrain."""

from pydantic import Field

from counterpoint.config.base import Section


class MonitorConfig(Section):
    """Compares a window of new events with the reference snapshot of the champion."""

    window_days: float = Field(default=30.0, gt=0)
    """Length of the window, up to ``window_end``."""

    window_end: str | None = None
    """ISO 8601 instant; none: the last event of the data."""

    min_events: int = Field(default=500, ge=1)
    """A smaller window gives the verdict ``insufficient_data``."""

    alpha: float = Field(default=0.01, gt=0, lt=1)
    """Family-wise error rate of the drift tests (Holm)."""

    psi_threshold: float = Field(default=0.2, gt=0)
    """Population stability index from which a significant change is large enough to matter."""

    auc_threshold: float = Field(default=0.65, gt=0.5, lt=1)
    """Classifier two-sample AUC on text embeddings from which drift matters."""

    quality_drop: float = Field(default=0.2, gt=0, lt=1)
    """Relative drop of realised NDCG against the evaluation that alone asks for retraining."""

    drifts_to_retrain: int = Field(default=2, ge=1)
    """This many drifted signals ask for retraining."""

    consecutive: int = Field(default=1, ge=1)
    """Hysteresis: verdicts in a row that must ask for retraining before it starts."""

    cooldown_hours: float = Field(default=24.0, ge=0)
    """No second retraining starts earlier than this after the last one."""

    webhook: str | None = None
    """Alertmanager-compatible URL."""

    state: str = "var/monitoring"
    """Folder of the audit log."""

    seed: int = 0
