"""The signals that need the model: realised quality, scores, calibration."""

from typing import Any

import polars as pl
from scipy.stats import ks_2samp

from counterpoint.config.monitor import MonitorConfig
from counterpoint.monitoring.degradation import Calibration, detrended, drop
from counterpoint.monitoring.quality import MEAN_SCORE, N_HISTORY
from counterpoint.monitoring.reference import Reference
from counterpoint.monitoring.signal import QUALITY, Signal


def model_signals(
    config: MonitorConfig,
    reference: Reference,
    realised: pl.DataFrame | str,
    missing: dict[str, str],
) -> list[Signal]:
    """Measure quality, scores and calibration; what cannot be measured goes into ``missing``.

    Args:
        config: Thresholds.
        reference: Holds the same table for the evaluation's users.
        realised: Table of ``quality.realised`` for the window, or why there is none.
        missing: Name of a signal -> why it could not be measured; added to.
    """
    before = reference.quality
    reason = realised if isinstance(realised, str) else None
    if before is None:
        reason = "the reference holds no evaluation of the model"
    elif not isinstance(realised, str) and min(len(before), len(realised)) < config.min_users:
        reason = (
            f"{len(before)} users of the reference and {len(realised)} of the window have unseen "
            f"positives after the first half of their events; {config.min_users} are needed"
        )
    if reason is not None or before is None or isinstance(realised, str):
        missing.update(dict.fromkeys((QUALITY, "score", "calibration"), str(reason)))
        return []
    loss = drop(before, realised, draws=config.enough_draws, confidence=0.95, seed=config.seed)
    found = [
        Signal(
            QUALITY,
            f"relative drop of NDCG@{reference.summary['k']}",
            loss.relative,
            config.quality_drop,
            p_value=loss.p_value,
            reference=loss.expected,
            current=loss.current,
        )
    ]
    old, new = detrended(before, realised, MEAN_SCORE, N_HISTORY)
    test: Any = ks_2samp(old, new)
    found.append(
        Signal(
            "score",
            "Kolmogorov-Smirnov distance",
            float(test.statistic),
            config.score_threshold,
            p_value=float(test.pvalue),
            # Scores also move with the share of users the model was fitted on.
            counted=False,
            reference=float(old.mean()),
            current=float(new.mean()),
        )
    )
    fitted = reference.summary.get("calibration")
    if fitted is not None:
        calibration = Calibration(**fitted)
        ratio = calibration.observed_over_expected(realised)
        found.append(
            Signal(
                "calibration",
                "observed / expected hits",
                ratio,
                1.0,
                counted=False,
                reference=calibration.observed_over_expected(before),
                current=ratio,
            )
        )
    return found
