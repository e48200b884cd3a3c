"""Splits that withhold items from the fit, to judge how new items are recommended.

* ``cold_items``: every event on a withheld item leaves the log; histories are all other events, the
  targets a user's positives on withheld items. Only withheld items are ranked: no other item can be
  a hit. Histories may hold events later than a target, since what is tested is a new item, not the
  future. The other events have the validation fold of ``split.within``.
* ``warm_and_cold``: split by ``split.within``; events on withheld items are kept out of the fit and
  of all histories, and count as targets in the test fold beside those on the other items.

The rows of withheld items stay in the items table: to a fit they are items nobody has touched.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import polars as pl

from counterpoint import columns
from counterpoint.config.features import SplitConfig
from counterpoint.errors import DataError

PROTOCOLS: Final = ("cold_items", "warm_and_cold")

UNUSED: Final = "unused"
"""Fold of the events on withheld items that are no targets; read by nobody."""

Assign = Callable[[pl.DataFrame, SplitConfig], pl.DataFrame]


def withholds(split: SplitConfig) -> bool:
    """Whether the split withholds items: without a test fold there is nothing to judge them by."""
    return split.protocol in PROTOCOLS and split.test_fraction > 0


def withheld(interactions: pl.DataFrame, split: SplitConfig) -> pl.Series:
    """Draw ``cold_share`` of the items that occur in the interactions, at least one.

    Raises:
        DataError: Fewer than two items occur.
    """
    items = interactions[columns.ITEM].unique().sort()
    if len(items) < 2:
        raise DataError(
            f"The {split.protocol} split needs two items at least, one to withhold and one to "
            f"learn from; the interactions have {len(items)}. Use another features.split.protocol."
        )
    n_withheld = min(max(1, round(len(items) * split.cold_share)), len(items) - 1)
    drawn = np.random.default_rng(split.item_seed).permutation(len(items))[:n_withheld]
    return items[np.sort(drawn)]


def assign(interactions: pl.DataFrame, split: SplitConfig, within: Assign) -> pl.DataFrame:
    """Add ``fold`` and ``held_out``; see ``splits.assign``.

    Args:
        interactions: Ordered interactions.
        split: One of PROTOCOLS. Without a test fold nothing is withheld.
        within: Splits by ``split.within``.
    """
    if not withholds(split):
        return within(interactions, split)
    held = pl.col(columns.ITEM).is_in(withheld(interactions, split).implode())
    marked = interactions.with_columns(held.alias(columns.HELD_OUT))
    if split.protocol == "warm_and_cold":
        unused = pl.col(columns.HELD_OUT) & (pl.col(columns.FOLD) != "test_target")
        fold = pl.when(unused).then(pl.lit(UNUSED)).otherwise(pl.col(columns.FOLD))
        return within(marked, split).with_columns(fold.alias(columns.FOLD))
    no_test = split.model_copy(update={"test_fraction": 0.0})
    warm = within(marked.filter(~pl.col(columns.HELD_OUT)), no_test)
    cold = marked.filter(columns.HELD_OUT).with_columns(pl.lit("test_target").alias(columns.FOLD))
    return pl.concat([warm, cold]).sort(columns.USER, columns.TIMESTAMP)


def visible(interactions: pl.DataFrame) -> pl.DataFrame:
    """Return the events that features may be made of: all but those on withheld items."""
    if columns.HELD_OUT not in interactions.columns:
        return interactions
    return interactions.filter(~pl.col(columns.HELD_OUT))
