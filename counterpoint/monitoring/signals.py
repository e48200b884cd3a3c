"""Measures the drift signals of one window."""

import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl

from counterpoint import columns
from counterpoint.config.monitor import MonitorConfig
from counterpoint.monitoring.blocks import OTHER_ITEMS, Block, blocks, mean_vectors
from counterpoint.monitoring.model_signals import model_signals
from counterpoint.monitoring.observations import NEW_ITEM, NEW_USER, UNIT, Observations
from counterpoint.monitoring.reference import VECTOR, Reference
from counterpoint.monitoring.signal import Bin, Measurement, Signal
from counterpoint.monitoring.two_sample import (
    classifier,
    holm,
    share_increase,
    stability,
)
from counterpoint.monitoring.units import Floats

ADVISORY = ("hour", "weekday", "activity")
"""Shown, never counted: traffic changes with the calendar."""

ORDERED = ("value", "popularity", "hour", "weekday", "activity")
PSI = "PSI above chance"
SHOWN_BINS = 12


def measure(
    config: MonitorConfig,
    reference: Reference,
    observed: Observations,
    items: pl.DataFrame,
    *,
    length: timedelta,
    realised: pl.DataFrame | str,
) -> Measurement:
    """Measure every signal.

    Args:
        config: Thresholds.
        reference: The snapshot.
        observed: Its events and those of the window.
        items: Items of both sides: item, title, attributes.
        length: Length of the window.
        realised: Table of ``quality.realised`` for the window, or why there is none.
    """
    missing: dict[str, str] = {}
    found = [
        *_distributions(config, observed, items),
        *_item_text(config, observed, reference, missing),
        *_novelty(config, observed, reference, length, missing),
        *model_signals(config, reference, realised, missing),
    ]
    return Measurement(tuple(_adjust(found, config.alpha)), missing)


def _adjust(found: list[Signal], alpha: float) -> list[Signal]:
    tested = [i for i, signal in enumerate(found) if signal.counted and signal.p_value is not None]
    adjusted = dict(zip(tested, holm([found[i].p_value or 0.0 for i in tested]), strict=True))
    result = []
    for i, signal in enumerate(found):
        p = adjusted.get(i)
        drifted = p is not None and p <= alpha and signal.effect >= signal.threshold
        result.append(replace(signal, p_adjusted=p, drifted=drifted))
    return result


def _distributions(
    config: MonitorConfig, observed: Observations, items: pl.DataFrame
) -> list[Signal]:
    found = blocks(observed, items)
    differences = stability(
        {name: block.counts for name, block in found.items()},
        observed.units,
        draws=config.enough_draws,
        min_units=config.min_users,
        seed=config.seed,
    )
    return [
        Signal(
            name,
            PSI,
            differences[name].effect,
            max(config.psi_threshold, differences[name].usual),
            usual=differences[name].usual,
            p_value=differences[name].p_value,
            counted=name not in ADVISORY,
            bins=_shares(name, block, observed, items),
        )
        for name, block in found.items()
    ]


def _shares(
    name: str, block: Block, observed: Observations, items: pl.DataFrame
) -> tuple[Bin, ...]:
    """Shares of both sides: ordered bins in their order, others by the size of the change."""
    current = observed.units.current
    sides: list[Floats] = [
        np.asarray(block.counts[side].sum(axis=0), dtype=np.float64).ravel()
        for side in (~current, current)
    ]
    before, now = (side / max(1.0, side.sum()) for side in sides)
    order = [i for i in range(len(now)) if block.bins[i] != OTHER_ITEMS]
    if name not in ORDERED:
        order.sort(key=lambda i: -abs(now[i] - before[i]))
    order = order[:SHOWN_BINS]
    labels = {b: b.partition("=")[2] or b.rpartition(" | ")[2] for b in block.bins}
    if name == "items":
        titles = items.filter(pl.col(columns.ITEM).is_in([block.bins[i] for i in order]))
        labels |= dict(titles.select(columns.ITEM, columns.TITLE).drop_nulls().iter_rows())
    return tuple(Bin(labels[block.bins[i]], float(before[i]), float(now[i])) for i in order)


def _item_text(
    config: MonitorConfig, observed: Observations, reference: Reference, missing: dict[str, str]
) -> list[Signal]:
    if VECTOR not in reference.items.columns:
        missing["item_text"] = "the reference holds no text vectors of the model"
        return []
    known = reference.items.drop_nulls(VECTOR)
    vectors = (
        np.stack(known[VECTOR].to_list()).astype(np.float32)
        if len(known)
        else np.zeros((0, 1), np.float32)
    )
    means, has = mean_vectors(observed, known[columns.ITEM].to_list(), vectors)
    units = observed.units.take(has)
    if min(units.current.sum(), (~units.current).sum()) < config.min_users:
        missing["item_text"] = (
            f"fewer than {config.min_users} users of a side have items with text vectors"
        )
        return []
    difference = classifier(
        means, units, draws=config.enough_draws, min_units=config.min_users, seed=config.seed
    )
    return [
        Signal(
            "item_text",
            "classifier AUC",
            difference.effect,
            max(config.auc_threshold, difference.usual),
            usual=difference.usual,
            p_value=difference.p_value,
        )
    ]


def _novelty(
    config: MonitorConfig,
    observed: Observations,
    reference: Reference,
    length: timedelta,
    missing: dict[str, str],
) -> list[Signal]:
    """Unknown users and items, beyond what the reference itself had in its later half.

    Everything is new in the first slice of any data, and some users and items always are, so only
    slices with at least half of the reference before them say what is normal.
    """
    half = (reference.end - reference.start) / 2
    slices = math.floor(half / length)
    if slices < 1:
        reason = "the window is longer than half of the reference"
        missing.update(unknown_users=reason, unknown_items=reason)
        return []
    keep = observed.units.slices < slices
    units = observed.units.take(keep)
    per_unit = (
        observed.events.group_by(UNIT)
        .agg(
            pl.len().alias("events"),
            pl.col(NEW_ITEM).sum().alias("items"),
            pl.col(NEW_USER).any().alias("user"),
        )
        .sort(UNIT)
    )

    def column(name: str) -> Floats:
        return per_unit[name].cast(pl.Float64).to_numpy()[keep]

    found = []
    for name, part, whole in (
        ("unknown_users", column("user"), np.ones(int(keep.sum()))),
        ("unknown_items", column("items"), column("events")),
    ):
        if not (~units.current).any():
            missing[name] = "the later half of the reference has no events"
            continue
        before, now, difference = share_increase(
            part,
            whole,
            units,
            draws=config.enough_draws,
            min_units=config.min_users,
            seed=config.seed,
        )
        found.append(
            Signal(
                name,
                "rise of the share",
                difference.effect,
                max(config.share_threshold, difference.usual),
                usual=difference.usual,
                p_value=difference.p_value,
                reference=before,
                current=now,
            )
        )
    return found
