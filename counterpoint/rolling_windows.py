"""Rolling time windows: several global-temporal evaluations, one behind the other.

One cut of a log is one draw: which film came out, which campaign ran. Each window repeats the whole
experiment at another time: its test fold are ``test_fraction`` of all events, everything later is
left out, and the validation window and the training events lie before (rolling-origin evaluation:
Tashman, International Journal of Forecasting, 2000).

    window 1   train ────────┤valid┤test┤
    window 2   train ─────────────┤valid┤test┤
    window 3   train ──────────────────┤valid┤test┤
"""

import polars as pl

from counterpoint import columns, splits
from counterpoint.config.features import SplitConfig
from counterpoint.errors import DataError

LEAST_TRAIN = 0.3
"""Share of all events that the first window must have left to learn from."""


def cut(interactions: pl.DataFrame, split: SplitConfig, *, windows: int) -> list[pl.DataFrame]:
    """Return the interactions of each window with ``fold``, the earliest window first.

    Args:
        interactions: Ordered interactions without ``fold``.
        split: Its fractions are of all events, so that all windows are of one size; its protocol
            does not count.
        windows: Number of windows; their test folds follow each other without overlap.

    Raises:
        DataError: There are no timestamps, or too few events for so many windows.
    """
    left = 1 - windows * split.test_fraction - split.valid_fraction
    if windows < 1 or not split.test_fraction or left < LEAST_TRAIN:
        raise DataError(
            f"{windows} windows of {split.test_fraction:.0%} of the events and one for validation "
            f"of {split.valid_fraction:.0%} leave {left:.0%} to learn from before the first one; "
            f"at least {LEAST_TRAIN:.0%} is needed. Use fewer windows or a smaller "
            "features.split.test_fraction (not 0)."
        )
    in_time = interactions[columns.TIMESTAMP].sort()
    n_test = max(1, round(len(in_time) * split.test_fraction))
    n_valid = max(1, round(len(in_time) * split.valid_fraction))
    # Cut at instants: events of one instant fall into one window.
    starts = [in_time[max(0, len(in_time) - place * n_test)] for place in range(windows, 0, -1)]
    found = []
    for number, (start, end) in enumerate(zip(starts, [*starts[1:], None], strict=True)):
        stamps = pl.col(columns.TIMESTAMP)
        known = interactions if end is None else interactions.filter(stamps < end)
        size, judged = max(1, len(known)), len(known.filter(stamps >= start))
        shares = {"test_fraction": judged / size, "valid_fraction": n_valid / size}
        if not judged or max(shares.values()) >= 0.5 or not splits.has_time(known):
            raise DataError(
                f"Window {number + 1} of {windows} has {judged} of {len(known)} known events: too "
                "many events are at one instant for so many windows, or there are too few. Use "
                "fewer windows, or data with finer timestamps."
            )
        found.append(
            splits.assign(known, split.model_copy(update={"protocol": "global_temporal", **shares}))
        )
    return found
