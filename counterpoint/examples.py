"""Training examples: random cuts of each user's sequence, what lay before and what came next.

The cuts and targets are drawn here; what was known at a cut comes from a point-in-time join, in the
feature store or in process (point_in_time.py), with equal rows.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from counterpoint import columns, withheld_items
from counterpoint.config import FeaturesConfig
from counterpoint.point_in_time import EARLIER, FeatureSource, PlainFeatures, lookup
from counterpoint.splits import FITS, Fit, fit_events
from counterpoint.tables import Tables

CUTS = pl.Schema(
    {
        columns.EXAMPLE: pl.Int64(),
        columns.FIT: pl.String(),
        columns.USER: pl.String(),
        columns.TIMESTAMP: columns.INSTANT,
        EARLIER: pl.Int64(),
        columns.TARGETS: pl.List(pl.String()),
    }
)
"""An example without its features; ``earlier`` counts the user's events before the cut."""

CHUNK_PAIRS = 4_000_000
"""A point-in-time join pairs each cut with all feature rows of its user before it keeps the newest;
one retrieval holds about this many pairs (some hundred MB)."""


def draw_cuts(
    interactions: pl.DataFrame,
    fit: Fit,
    *,
    examples_per_user: int,
    max_examples: int,
    targets: int,
    seed: int,
) -> pl.DataFrame:
    """Draw cuts of each user's events, evenly spread over the sequence, at random within each part.

    A cut lies at the instant of an event: everything earlier is history, and the targets are the
    next positives at or after it. Items already in the history are no targets, since seen items are
    never recommended. A user without any target has no example; one with fewer possible cuts than
    ``examples_per_user`` gives each of them once.

    Args:
        interactions: Ordered interactions with ``fold``.
        fit: Which events may be targets (splits.FITS).
        examples_per_user: Largest number of cuts of one user.
        max_examples: Largest number of cuts.
        targets: Largest number of targets of a cut.
        seed: Seed of the draw; the result depends on nothing else but the interactions.

    Returns:
        Frame with the schema CUTS. Each user's cuts are in random order, so that reading them in
        order of ``example_id`` visits early and late parts of the sequence alike.
    """
    events = fit_events(interactions, fit)
    rng = np.random.default_rng([seed, list(FITS).index(fit)])
    starts, lengths = _slices(events[columns.USER])
    owner = np.repeat(np.arange(len(starts)), lengths)
    first, target = _first_seen(events)
    target_events = np.flatnonzero(target)

    # A cut has a target if some target's item was not seen before it.
    possible = np.zeros(len(starts), dtype=np.int64)
    np.maximum.at(possible, owner[target_events], (first - starts[owner])[target_events] + 1)
    user, position = _spread(possible, examples_per_user, max_examples, rng)
    cut = starts[user] + position
    bounds = np.searchsorted(target_events, np.stack([cut, (starts + lengths)[user]]))
    which, found = _next_targets(target_events, first, cut, bounds, targets)
    lists = (
        pl.DataFrame({"_cut": which, columns.TARGETS: events[columns.ITEM].gather(found)})
        .group_by("_cut", maintain_order=True)
        .agg(columns.TARGETS)
    )
    return (
        events.select(columns.USER, columns.TIMESTAMP)[cut]
        .with_columns(
            lists[columns.TARGETS], pl.Series(EARLIER, position), pl.lit(fit).alias(columns.FIT)
        )
        .with_row_index(columns.EXAMPLE)
        .select(pl.col(name).cast(dtype) for name, dtype in CUTS.items())
    )


def draw_all(interactions: pl.DataFrame, config: FeaturesConfig) -> pl.DataFrame:
    """Return the cuts of both fits with consecutive example ids."""
    drawn = [
        draw_cuts(
            interactions,
            fit,
            examples_per_user=config.examples_per_user,
            max_examples=config.max_examples,
            targets=config.targets,
            seed=config.seed,
        )
        for fit in FITS
    ]
    return pl.concat(drawn).with_columns(pl.int_range(pl.len()).alias(columns.EXAMPLE))


def chunks(cuts: pl.DataFrame, interactions: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield the cuts in slices of bounded retrieval cost, see CHUNK_PAIRS; order is kept."""
    events = interactions.group_by(columns.USER).agg(pl.len().alias("_events"))
    cost = cuts.join(events, on=columns.USER, how="left", maintain_order="left")[
        "_events"
    ].cum_sum()
    part = (cost // CHUNK_PAIRS).rle_id().alias("_part")
    yield from (chunk.drop("_part") for chunk in cuts.with_columns(part).partition_by("_part"))


def attach(cuts: pl.DataFrame, source: FeatureSource) -> pl.DataFrame:
    """Add to each cut what was known about its user at its instant.

    Each distinct (user, instant) is looked up once.

    Returns:
        Frame with the schema columns.EXAMPLES, in the order of the cuts.

    Raises:
        DataError: The source lost or doubled a row, or returned a feature from the future.
    """
    keys = [columns.USER, columns.TIMESTAMP]
    requests = cuts.select(*keys, EARLIER).unique(keys).sort(keys)
    known = lookup(requests, source)
    return cuts.join(known, on=keys, how="left", maintain_order="left").select(
        pl.col(name).cast(dtype) for name, dtype in columns.EXAMPLES.items()
    )


def join_plain(
    cuts: pl.DataFrame, interactions: pl.DataFrame, users: pl.DataFrame, *, history_length: int
) -> pl.DataFrame:
    """Point-in-time join in process: the examples of the cuts without a feature store.

    Args:
        cuts: Frame with the schema CUTS.
        interactions: Ordered interactions (all folds).
        users: Canonical users.
        history_length: Longest history; the newest events stay.
    """
    tables = Tables(interactions, columns.ITEMS.to_frame(), users)
    return attach(cuts, PlainFeatures(tables, history_length))


def plain_examples(
    interactions: pl.DataFrame, users: pl.DataFrame, config: FeaturesConfig
) -> pl.DataFrame:
    """Draw and join the examples of both fits in process, see ``draw_cuts`` and ``join_plain``."""
    cuts = draw_all(interactions, config)
    interactions = withheld_items.visible(interactions)
    return join_plain(cuts, interactions, users, history_length=config.history_length)


def _slices(users: pl.Series) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Start and length of each user's run in an ordered log."""
    runs = users.rle().struct.field("len").to_numpy().astype(np.int64)
    return np.cumsum(runs) - runs, runs


def _first_seen(events: pl.DataFrame) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Per event, where its user first met its item, and whether it is their first positive."""
    pair = [columns.USER, columns.ITEM]
    positive = pl.col(columns.POSITIVE)
    frame = events.with_row_index("_row").select(
        pl.col("_row").min().over(pair).cast(pl.Int64).alias("first"),
        (positive & (positive.cast(pl.Int64).cum_sum().over(pair) == 1)).alias("target"),
    )
    return frame["first"].to_numpy(), frame["target"].to_numpy()


def _spread(
    possible: npt.NDArray[np.int64], per_user: int, limit: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Draw positions in ``[0, possible)`` of each user, one in each of up to ``per_user`` parts.

    Returns:
        (M,) user indices, sorted, and (M,) positions, in random order within each user.
    """
    per_user = min(per_user, -(-limit // max(1, int(np.count_nonzero(possible)))))
    count = np.minimum(possible, per_user)
    user = np.repeat(np.arange(len(possible)), count)
    part = np.arange(len(user)) - np.repeat(np.cumsum(count) - count, count)
    low = part * possible[user] // count[user]
    high = (part + 1) * possible[user] // count[user]
    position = rng.integers(low, high)
    # Rounds: the k-th cut of every user, users and parts shuffled; the limit drops the last rounds.
    shuffled = np.lexsort((rng.random(len(user)), user))
    turn = np.empty_like(part)
    turn[shuffled] = part
    kept = np.lexsort((rng.random(len(possible))[user], turn))[:limit]
    kept = kept[np.lexsort((turn[kept], user[kept]))]
    return user[kept], position[kept]


def _next_targets(
    target_events: npt.NDArray[np.int64],
    first: npt.NDArray[np.int64],
    cut: npt.NDArray[np.int64],
    bounds: npt.NDArray[np.int64],
    count: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Find each cut's next targets whose item was not met before the cut.

    Args:
        target_events: (T,) event indices of all possible targets, ascending.
        first: (E,) event index of the user's first event with the same item.
        cut: (M,) event index of each cut.
        bounds: (2, M) slice of ``target_events`` from the cut to the user's last.
        count: Largest number of targets.

    Returns:
        (K,) cut numbers, ascending, and (K,) event indices, ascending within each cut.
    """
    start, end = bounds[0].copy(), bounds[1]
    missing = np.full(len(cut), count)
    open_cuts = np.arange(len(cut))
    found: list[npt.NDArray[np.int64]] = []
    while len(open_cuts):
        window = start[open_cuts, None] + np.arange(count)
        inside = window < end[open_cuts, None]
        event = target_events[np.where(inside, window, 0)]
        fits = inside & (first[event] >= cut[open_cuts, None])
        fits &= np.cumsum(fits, axis=1) <= missing[open_cuts, None]
        row, column = np.nonzero(fits)
        found.append(np.stack([open_cuts[row], event[row, column]]))
        start[open_cuts] += count
        missing[open_cuts] -= fits.sum(axis=1)
        open_cuts = open_cuts[(missing[open_cuts] > 0) & (start[open_cuts] < end[open_cuts])]
    pairs = np.concatenate(found, axis=1) if found else np.empty((2, 0), dtype=np.int64)
    order = np.lexsort((pairs[1], pairs[0]))
    return pairs[0, order], pairs[1, order]
