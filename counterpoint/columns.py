"""The one vocabulary of column names, and the schemas of the three canonical tables.

Every stage, plugin, feature view and served tensor takes its names from here.

Attributes of items and users are lists of ``name=value`` tokens (``genre=Comedy``, ``age=25-34``):
one column serves any domain, several values per name are natural, and the same tokens
travel through the feature store and the gRPC request unchanged.
"""

from typing import Final

import polars as pl

USER: Final = "user_id"
ITEM: Final = "item_id"
TIMESTAMP: Final = "timestamp"
EVENT: Final = "event"
VALUE: Final = "value"
ROW: Final = "row_id"
POSITIVE: Final = "positive"
"""Whether the data set's rule counts the interaction as liked (clicked, bought, rated >= 4 …)."""

TITLE: Final = "title"
TEXT: Final = "text"
ATTRIBUTES: Final = "attributes"
AVAILABLE_FROM: Final = "available_from"
AVAILABLE_UNTIL: Final = "available_until"

VECTOR: Final = "vector"

FOLD: Final = "fold"
HELD_OUT: Final = "held_out"
"""Whether the item of an event is withheld from the fit, so that it is judged as a new one."""

EXAMPLE: Final = "example_id"
FIT: Final = "fit"
HISTORY: Final = "history"
HISTORY_TIMESTAMPS: Final = "history_timestamps"
HISTORY_POSITIVE: Final = "history_positive"
TARGETS: Final = "targets"

FEATURE_TIMESTAMP: Final = "event_timestamp"
"""When a feature row becomes visible; the feature store's own name for it."""

HISTORY_UNTIL: Final = "history_until"
"""Feature timestamp of the history itself (microseconds): proof that it is older than its label."""

HISTORY_VERSION: Final = "history_version"
"""Number of the newest event of a history in the ordered log: names one immutable history."""

REQUEST: Final = "request_id"
EVENTS: Final = "n_events"
POSITIVES: Final = "n_positives"

RANK: Final = "rank"
SCORE: Final = "score"
REASON: Final = "reason"

INSTANT: Final = pl.Datetime("us", "UTC")
"""DuckDB refuses nanosecond timestamps, so microseconds everywhere."""

INTERACTIONS: Final = pl.Schema(
    {
        ROW: pl.Int64(),
        USER: pl.String(),
        ITEM: pl.String(),
        TIMESTAMP: INSTANT,
        EVENT: pl.String(),
        VALUE: pl.Float64(),
        POSITIVE: pl.Boolean(),
    }
)
ITEMS: Final = pl.Schema(
    {
        ITEM: pl.String(),
        TITLE: pl.String(),
        TEXT: pl.String(),
        ATTRIBUTES: pl.List(pl.String()),
        AVAILABLE_FROM: INSTANT,
        AVAILABLE_UNTIL: INSTANT,
    }
)
USERS: Final = pl.Schema({USER: pl.String(), ATTRIBUTES: pl.List(pl.String())})
VECTORS: Final = pl.Schema({ITEM: pl.String(), VECTOR: pl.List(pl.Float32())})
"""The vectors of one modality (vector_tables.py)."""

EXAMPLES: Final = pl.Schema(
    {
        EXAMPLE: pl.Int64(),
        FIT: pl.String(),
        USER: pl.String(),
        TIMESTAMP: INSTANT,
        HISTORY: pl.List(pl.String()),
        HISTORY_TIMESTAMPS: pl.List(pl.Int64()),
        HISTORY_POSITIVE: pl.List(pl.Boolean()),
        ATTRIBUTES: pl.List(pl.String()),
        TARGETS: pl.List(pl.String()),
    }
)
"""Training examples. ``history*`` are oldest first; ``history_timestamps`` in microseconds since
the epoch; ``timestamp`` is the cut: history lies before it, targets at or after it."""

RECOMMENDATIONS: Final = pl.Schema(
    {USER: pl.String(), ITEM: pl.String(), RANK: pl.Int64(), SCORE: pl.Float64()}
)
"""The output of every recommender and the input of every metric; ranks start at 1."""
