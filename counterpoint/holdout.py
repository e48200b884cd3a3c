"""A larger validation fold for small data: the last positives of every user are held out as well.

A time window of a small shop holds few users, too few to choose anything by. Then the choice is
made on a per-user split of everything before the test fold.
"""

import polars as pl

from counterpoint import columns, splits
from counterpoint.config.features import SplitConfig
from counterpoint.errors import DataError

FRACTION = 0.2
"""Share of each user's events that is held out."""


def per_user(interactions: pl.DataFrame) -> pl.DataFrame | None:
    """Return the events before the test fold with new folds, or None where nothing can be held out.

    Args:
        interactions: Ordered interactions with ``fold``.
    """
    known = splits.fit_events(interactions, "final").drop(columns.FOLD)
    try:
        split = SplitConfig(protocol="per_user", valid_fraction=FRACTION, test_fraction=0.0)
        return splits.assign(known, split)
    except DataError:
        return None


def examples_before(examples: pl.DataFrame, folded: pl.DataFrame) -> pl.DataFrame:
    """Return the examples of the final fit that nothing held out leaks into, as those to choose by.

    An example must be cut before its user's first held-out event, and its targets must not be held
    out.

    Args:
        examples: columns.EXAMPLES.
        folded: Of ``per_user``.
    """
    held = folded.filter(pl.col(columns.FOLD) != splits.TRAIN)
    first = held.group_by(columns.USER).agg(
        pl.col(columns.TIMESTAMP).min().alias("_first"),
        pl.col(columns.ITEM).unique().alias("_held"),
    )
    final = examples.filter(pl.col(columns.FIT) == "final")
    kept = final.join(first, on=columns.USER, how="left").filter(
        pl.col("_first").is_null() | (pl.col(columns.TIMESTAMP) < pl.col("_first"))
    )
    nothing = pl.lit([], dtype=pl.List(pl.String))
    return (
        kept.with_columns(
            pl.col(columns.TARGETS).list.set_difference(pl.col("_held").fill_null(nothing)),
            pl.lit("choose").alias(columns.FIT),
        )
        .filter(pl.col(columns.TARGETS).list.len() > 0)
        .select(examples.columns)
    )
