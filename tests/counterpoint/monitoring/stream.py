"""A stationary stream of sessions: users of three tastes who come back now and then."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from counterpoint import columns, splits
from counterpoint.config import SplitConfig
from counterpoint.histories import Histories, order_events
from counterpoint.monitoring import snapshot
from counterpoint.monitoring.reference import Reference
from counterpoint.tables import Tables, conform

START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = 80
REFERENCE_DAYS = 60
TASTES = 3
PER_TASTE = 15
ITEMS = [f"i{n}" for n in range(TASTES * PER_TASTE)]
END_OF_REFERENCE = START + timedelta(days=REFERENCE_DAYS)


def stream(*, users: int = 260, seed: int = 0, tastes: tuple[float, ...] = (1, 1, 1)) -> Tables:
    """Canonical tables: every user has one to three sessions of six to eighteen events.

    Args:
        users: Number of users.
        seed: Of everything.
        tastes: Relative frequency of the tastes after the end of the reference.
    """
    rng = np.random.default_rng(seed)
    later = np.array(tastes, dtype=float) / sum(tastes)
    rows, people = [], []
    for user in range(users):
        first = rng.random() * DAYS
        drifted = first > REFERENCE_DAYS
        taste = int(rng.choice(TASTES, p=later)) if drifted else int(rng.integers(TASTES))
        people.append((f"u{user}", [f"plan={'pro' if rng.random() < 0.3 else 'free'}"]))
        seen = rng.permutation(len(ITEMS))
        own = [n for n in seen if n % TASTES == taste]
        queue = [n for n in seen if n % TASTES != taste][:6] + own
        queue = list(rng.permutation(queue))
        for session in range(int(rng.integers(1, 4))):
            day = first + session * rng.exponential(20)
            for place in range(int(rng.integers(6, 19))):
                if not queue or day >= DAYS:
                    break
                item = queue.pop()
                liked = item % TASTES == taste
                value = float(rng.choice([4, 5] if liked else [1, 2, 3]))
                stamp = START + timedelta(days=day, seconds=20 * place)
                rows.append((f"u{user}", ITEMS[item], stamp, value))
    interactions = pl.DataFrame(
        rows, schema=[columns.USER, columns.ITEM, columns.TIMESTAMP, columns.VALUE], orient="row"
    ).with_row_index(columns.ROW)
    interactions = interactions.with_columns(
        (pl.col(columns.VALUE) >= 4).alias(columns.POSITIVE), pl.lit("rate").alias(columns.EVENT)
    )
    items = pl.DataFrame(
        {
            columns.ITEM: ITEMS,
            columns.TITLE: [f"Title {n}" for n in range(len(ITEMS))],
            columns.ATTRIBUTES: [[f"genre={n % TASTES}"] for n in range(len(ITEMS))],
        }
    )
    profiles = pl.DataFrame(people, schema=[columns.USER, columns.ATTRIBUTES], orient="row")
    return Tables(
        conform(interactions, columns.INTERACTIONS, table="interactions"),
        conform(items, columns.ITEMS, table="items"),
        conform(profiles, columns.USERS, table="users"),
    )


def vectors(*, seed: int = 0, dim: int = 8) -> npt.NDArray[np.float32]:
    """(N, dim) text vectors in which items of one taste lie together."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(TASTES, dim))
    noise = rng.normal(size=(len(ITEMS), dim))
    return (centres[np.arange(len(ITEMS)) % TASTES] + 0.5 * noise).astype(np.float32)


@dataclass(frozen=True)
class Taste:
    """Recommends the genre a user has liked most; items of it by a fixed popularity."""

    item_ids: list[str]
    sign: float = 1.0

    def score(self, histories: Histories) -> npt.NDArray[np.float32]:
        """(U, N) scores."""
        likes = histories.matrix(len(self.item_ids), positive_only=True)
        onehot = np.eye(TASTES, dtype=np.float32)[np.arange(len(self.item_ids)) % TASTES]
        wanted = (likes @ onehot) @ onehot.T
        popularity = -np.arange(len(self.item_ids)) / 1000
        return np.asarray(self.sign * wanted + popularity, dtype=np.float32)


def early(data: Tables) -> Tables:
    """The events of the reference's days, with folds."""
    rows = data.interactions.filter(pl.col(columns.TIMESTAMP) <= END_OF_REFERENCE)
    return Tables(
        splits.assign(
            order_events(rows, seed=0), SplitConfig(valid_fraction=0.1, test_fraction=0.3)
        ),
        data.items,
        data.users,
    )


def taken(data: Tables, champion: Taste | None = None) -> Reference:
    """The reference of the early events."""
    return snapshot.build(early(data), champion or Taste(ITEMS), vectors=vectors(), k=5)
