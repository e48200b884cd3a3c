"""Stage ``monitor``: has the world moved away from what the champion was trained on?"""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from counterpoint import artifacts, columns, tables
from counterpoint.config.monitor import MonitorConfig
from counterpoint.errors import DataError
from counterpoint.monitoring import alerts, audit, evidently_page, outputs
from counterpoint.monitoring import reference as stored
from counterpoint.monitoring.decision import Decision, Verdict, judge, restrain
from counterpoint.monitoring.observations import Observations
from counterpoint.monitoring.quality import Champion, fold_window, probe_agreement, realised
from counterpoint.monitoring.reference import Reference
from counterpoint.monitoring.signal import QUALITY, Measurement
from counterpoint.monitoring.signals import measure
from counterpoint.monitoring.window import Data, Window, compare, cut, items_of_both, scan

logger = logging.getLogger(__name__)

MIN_AGREEMENT = 0.9
"""Least overlap of the model's lists with those in the reference: another machine may swap a tie,
another model gives other lists."""


@dataclass(frozen=True)
class MonitorResult:
    """What monitoring decided.

    Attributes:
        verdict: ``ok``, ``drift``, ``retrain`` or ``insufficient_data``.
        wanted: What the window alone asks for, before hysteresis and cool-down.
        reasons: Sentences, most important first.
        figures: Key figures.
        alert: What became of the alert.
    """

    verdict: Verdict
    wanted: Verdict
    reasons: tuple[str, ...]
    figures: Mapping[str, float | int]
    alert: alerts.Delivery


def run(
    config: MonitorConfig,
    *,
    interactions: Path,
    reference: Path,
    model: Path | None,
    monitoring: Path,
    champion: Champion | None = None,
    now: datetime | None = None,
) -> MonitorResult:
    """Compare the newest events with the reference, decide, alert, and write the report.

    Args:
        config: Window, thresholds, hysteresis, webhook, folder of the audit log.
        interactions: Folder with the canonical tables, validated or features, old and new events.
        reference: Snapshot stored with the champion.
        model: The champion, for realised quality and scores; none: these are not measured.
        monitoring: Output folder: ``verdict.json``, ``window.json``, ``report.html``.
        champion: The model in memory instead of ``model``.
        now: The present, for hysteresis and cool-down; none: the clock.

    Raises:
        DataError: An input is missing or damaged, or model and reference do not belong together.
        SetupError: Another monitoring run is deciding.
    """
    state = Path(config.state)
    present = now or datetime.now(UTC)
    with audit.one_at_a_time(state):
        base = stored.load(reference)
        data = scan(interactions)
        if champion is None and model is not None:
            # Loading the model needs torch; monitoring data alone does not.
            from counterpoint.recommender import Recommender
            from counterpoint.reranker import blend

            champion = blend.served(model, Recommender.load(model))
        _belong_together(base, champion)
        window = cut(config, data.interactions, base)
        enough = _enough(config, window, base)
        measurement, observed, lists = Measurement(()), None, None
        if enough is not None:
            decided = Decision("insufficient_data", "insufficient_data", (enough,))
        else:
            observed = compare(window, base, data)
            lists = _lists(config, champion, window, data.users, k=base.summary["k"])
            measurement = measure(
                config,
                base,
                observed,
                items_of_both(base, data),
                length=window.length,
                realised=lists,
            )
            decided = judge(config, measurement)
        history = audit.read(state)
        identity = _identity(reference)
        decided = restrain(
            config,
            decided,
            history,
            reference=identity,
            window_end=window.end,
            now=present,
        )
        delivery = _alert(config, decided, {"dataset": _dataset(interactions)}, present)
        record = {
            "time": present.isoformat(),
            "reference": identity,
            "window_start": window.start.isoformat(),
            "window_end": window.end.isoformat(),
            "verdict": decided.verdict,
            "wanted": decided.wanted,
            "reasons": list(decided.reasons),
            "drifted": [signal.name for signal in measurement.drifted],
            "alert": asdict(delivery),
        }
        outputs.write(
            monitoring,
            outputs.verdict(config, decided, measurement, window, base, delivery),
            measurement,
            history=[*history, record],
            frames=_frames(config, base, data, observed, lists),
        )
        # Last, so that a run that dies before it can start a retraining does not begin a cool-down.
        audit.append(state, record)
    logger.info("Verdict: %s", decided.verdict)
    for reason in decided.reasons:
        logger.info("- %s", reason)
    return MonitorResult(
        decided.verdict,
        decided.wanted,
        decided.reasons,
        _figures(measurement, window, delivery),
        delivery,
    )


def _belong_together(reference: Reference, champion: Champion | None) -> None:
    if champion is None or reference.probes is None:
        return
    agreement = probe_agreement(champion, reference.probes, k=reference.summary["k"])
    if agreement < MIN_AGREEMENT:
        raise DataError(
            f"The model is not the one the reference was taken from: its lists share "
            f"{agreement:.0%} of their items with the stored ones; at least {MIN_AGREEMENT:.0%} is "
            "needed. Give model and reference of the same version."
        )


def _enough(config: MonitorConfig, window: Window, reference: Reference) -> str | None:
    if window.rows >= config.min_events and window.users >= config.min_users:
        return None
    return (
        f"{window.rows} events of {window.users} users after {window.start.isoformat()}; at least "
        f"{config.min_events} events of {config.min_users} users are needed (the reference ends "
        f"{reference.end.isoformat()}, the data {window.end.isoformat()})"
    )


def _lists(
    config: MonitorConfig, champion: Champion | None, window: Window, users: pl.DataFrame, *, k: int
) -> pl.DataFrame | str:
    if champion is None:
        return "no model was given"
    tokens = dict(users.select(columns.USER, columns.ATTRIBUTES).iter_rows())
    try:
        table, _ = realised(
            champion,
            fold_window(window.past, window.start, seed=config.seed),
            attributes={user: found or [] for user, found in tokens.items()},
            k=k,
            seed=config.seed,
        )
    except DataError as error:
        return str(error)
    return table


def _alert(
    config: MonitorConfig, decision: Decision, labels: dict[str, str], now: datetime
) -> alerts.Delivery:
    if decision.verdict not in alerts.SEVERITY:
        return alerts.Delivery(False, f"the verdict {decision.verdict} needs none")
    return alerts.send(
        config,
        alerts.payload(config, decision.verdict, decision.reasons, labels=labels, now=now),
    )


def _figures(
    measurement: Measurement, window: Window, delivery: alerts.Delivery
) -> dict[str, float | int]:
    figures: dict[str, float | int] = {
        "drifted": len(measurement.drifted),
        "signals": sum(signal.counted for signal in measurement.signals),
        "events": window.rows,
        "users": window.users,
        "alert_sent": int(delivery.sent),
    }
    for signal in measurement.signals:
        figures[f"{signal.name}_effect"] = signal.effect
        if signal.name == QUALITY and signal.current is not None:
            figures["realised_ndcg"] = signal.current
    return figures


def _identity(reference: Path) -> str:
    return hashlib.sha256((reference / stored.SUMMARY).read_bytes()).hexdigest()[:16]


def _dataset(folder: Path) -> str:
    path = folder / artifacts.DATASET
    name = tables.read_json(path).get("name") if path.is_file() else None
    return str(name or folder.name)


def _frames(
    config: MonitorConfig,
    reference: Reference,
    data: Data,
    observed: Observations | None,
    lists: pl.DataFrame | str | None,
) -> dict[str, str]:
    if observed is None or not config.evidently_rows:
        return {}
    both = (
        (reference.quality, lists)
        if reference.quality is not None and isinstance(lists, pl.DataFrame)
        else None
    )
    return evidently_page.pages(
        observed,
        items_of_both(reference, data),
        both,
        rows=config.evidently_rows,
        threshold=config.psi_threshold,
        seed=config.seed,
    )
