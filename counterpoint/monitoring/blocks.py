"""What is counted per unit: bins of the categorical signals, mean text vectors."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp

from counterpoint import columns
from counterpoint.monitoring.observations import UNIT, Observations

MAX_VALUES = 20
"""A value column with more distinct values is cut at its deciles."""

BINS = 10
MAX_ITEMS = 200
OTHER_ITEMS = "other items"
OCTAVES = {n: f"{n:02d} | {2**n:,} to {2 ** (n + 1) - 1:,}" for n in range(32)}
"""Names of the bins of the events per user; the number in front keeps them in order."""

MAX_TOKENS = 50


@dataclass(frozen=True)
class Block:
    """Counts of one signal.

    Attributes:
        bins: B labels.
        counts: (n, B) CSR matrix: events (or users) of each unit per bin.
    """

    bins: list[str]
    counts: sp.csr_matrix


def blocks(observed: Observations, items: pl.DataFrame) -> dict[str, Block]:
    """Return the categorical signals of the observations, by name.

    Signals whose column says nothing (one event type, no values, no attributes) are left out.

    Args:
        observed: The events.
        items: item, attributes (list of tokens).
    """
    events, n = observed.events, len(observed)
    found: dict[str, Block] = {}

    def add(name: str, frame: pl.DataFrame, bins: pl.Expr) -> None:
        block = _count(frame.select(UNIT, bins.cast(pl.String).alias("bin")), n)
        if len(block.bins) > 1:
            found[name] = block

    add("event", events, pl.col(columns.EVENT).fill_null("missing"))
    if events[columns.VALUE].is_not_null().any():
        add("value", events, _value_bins(events[columns.VALUE]))
    if "event" not in found and "value" not in found:
        add("positive", events, pl.col(columns.POSITIVE))
    frequent = events[columns.ITEM].value_counts(sort=True, name="n").head(MAX_ITEMS)
    known = pl.col(columns.ITEM).is_in(frequent[columns.ITEM].implode())
    add("items", events, pl.when(known).then(columns.ITEM).otherwise(pl.lit(OTHER_ITEMS)))
    add("popularity", events.join(_popularity(events), on=columns.ITEM), pl.col("decile"))
    tokens = items.select(columns.ITEM, columns.ATTRIBUTES).explode(columns.ATTRIBUTES)
    for name, rows in _by_name(events.select(UNIT, columns.ITEM).join(tokens, on=columns.ITEM)):
        add(f"item_{name}", rows, _frequent_tokens(rows))
    for name, rows in _by_name(observed.attributes):
        add(f"user_{name}", rows, _frequent_tokens(rows))
    stamps = pl.col(columns.TIMESTAMP).dt
    add("hour", events, (stamps.hour() // 4 * 4).cast(pl.String).str.zfill(2) + ":00 UTC")
    add("weekday", events, stamps.weekday().cast(pl.String) + stamps.strftime(" %a"))
    activity = events.group_by(UNIT).len("n")
    octave = pl.col("n").log(2).floor().cast(pl.Int64)
    add("activity", activity, octave.replace_strict(list(OCTAVES), list(OCTAVES.values())))
    return found


def mean_vectors(
    observed: Observations, item_ids: list[str], vectors: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return the mean text vector of each unit's items, freed of the number of items.

    Users with many events reach deeper into the catalogue whatever their taste, so the part of the
    means that is quadratic in log2(number of items) is taken out: it is activity, another signal.

    Returns:
        (m, D) means of the units with an item that has a vector, and (n,) which units those are.
    """
    places = pl.DataFrame({columns.ITEM: item_ids}, schema={columns.ITEM: pl.String})
    rows = observed.events.select(UNIT, columns.ITEM).join(
        places.with_row_index("place"), on=columns.ITEM
    )
    weights = sp.csr_matrix(
        (
            np.ones(len(rows), dtype=np.float32),
            (rows[UNIT].to_numpy(), rows["place"].to_numpy()),
        ),
        shape=(len(observed), len(item_ids)),
    )
    counts = np.asarray(weights.sum(axis=1)).ravel()
    has = counts > 0
    means = (weights[has] @ vectors) / counts[has, None]
    depth = np.vander(np.log2(counts[has]), 3)
    trend, *_ = np.linalg.lstsq(depth, means, rcond=None)
    return np.asarray(means - depth @ trend, dtype=np.float32), has


def _count(frame: pl.DataFrame, n: int) -> Block:
    frame = frame.drop_nulls()
    bins = frame["bin"].unique().sort()
    places = bins.search_sorted(frame["bin"]).to_numpy() if len(bins) else np.zeros(0, dtype=int)
    counts = sp.csr_matrix(
        (np.ones(len(frame)), (frame[UNIT].to_numpy(), places)), shape=(n, len(bins))
    )
    return Block(bins.to_list(), counts)


def _value_bins(values: pl.Series) -> pl.Expr:
    column = pl.col(columns.VALUE)
    if values.n_unique() > MAX_VALUES:
        cuts = np.unique(np.quantile(values.drop_nulls().to_numpy(), np.arange(1, BINS) / BINS))
        column = column.cut(cuts.tolist())
    return column.cast(pl.String).fill_null("missing")


def _popularity(events: pl.DataFrame) -> pl.DataFrame:
    """Deciles of popularity over both sides: each holds a tenth of all events."""
    counts = events.group_by(columns.ITEM).len("n").sort("n", columns.ITEM, descending=True)
    mass = pl.col("n").cum_sum() / pl.col("n").sum() * BINS
    names = [f"{d:02d} of {BINS}" for d in range(1, BINS + 1)]
    decile = mass.ceil().clip(1, BINS).cast(pl.Int64) - 1
    return counts.select(
        columns.ITEM, decile.replace_strict(list(range(BINS)), names).alias("decile")
    )


def _by_name(tokens: pl.DataFrame) -> Iterable[tuple[str, pl.DataFrame]]:
    """Yield attribute name and rows of its ``name=value`` tokens."""
    name = pl.col(columns.ATTRIBUTES).str.split("=").list.first().alias("name")
    named = tokens.drop_nulls(columns.ATTRIBUTES).with_columns(name)
    for (key,), rows in sorted(named.partition_by("name", as_dict=True).items()):
        yield str(key), rows


def _frequent_tokens(rows: pl.DataFrame) -> pl.Expr:
    token = pl.col(columns.ATTRIBUTES)
    frequent = rows[columns.ATTRIBUTES].value_counts(sort=True, name="n").head(MAX_TOKENS)
    kept = token.is_in(frequent[columns.ATTRIBUTES].implode())
    return pl.when(kept).then(token).otherwise(pl.lit("other"))
