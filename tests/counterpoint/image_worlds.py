"""A world in which only images tell what users like; titles are noise."""

from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from counterpoint import columns
from counterpoint.histories import from_events
from counterpoint.pools import ndcg
from counterpoint.recommender import Recommender
from counterpoint.tables import Tables, conform

START = datetime(2024, 1, 1, tzinfo=UTC)
STYLES, PER_STYLE, USERS, LIKED = 6, 15, 90, 9
WIDTH = 12
WORDS = ("title", "even", "odd")


def images(seed: int = 0, *, noise: float = 0.3) -> pl.DataFrame:
    """Vectors of the items i0, i1, …: item n has style n % 6.

    As those of many encoders they lie in a narrow cone, far from the origin.
    """
    rng = np.random.default_rng(seed)
    styles = rng.standard_normal((STYLES, WIDTH))
    items = np.arange(STYLES * PER_STYLE)
    vectors = 8.0 + styles[items % STYLES] + noise * rng.standard_normal((len(items), WIDTH))
    return frame([f"i{item}" for item in items], vectors)


def frame(ids: list[str], vectors: npt.NDArray) -> pl.DataFrame:
    return pl.DataFrame(
        {columns.ITEM: ids, columns.VECTOR: vectors.astype(np.float32).tolist()},
        schema=columns.VECTORS,
    )


def world(seed: int = 0) -> Tables:
    """Nine of ten liked items are of the user's two styles."""
    rng = np.random.default_rng(seed)
    items = np.arange(STYLES * PER_STYLE)
    rows = []
    for user in range(USERS):
        own = np.isin(items % STYLES, (user % STYLES, (user + 1 + user % 2) % STYLES))
        weight = np.where(own, 9.0 / own.sum(), 1.0 / (~own).sum())
        liked = rng.choice(items, LIKED, replace=False, p=weight / weight.sum())
        rows += [(f"u{user}", f"i{item}", user * 100 + n) for n, item in enumerate(liked)]
    interactions = pl.DataFrame(
        {
            columns.ROW: range(len(rows)),
            columns.USER: [user for user, *_ in rows],
            columns.ITEM: [item for _, item, _ in rows],
            columns.TIMESTAMP: [START + timedelta(minutes=minute) for *_, minute in rows],
            columns.POSITIVE: [True] * len(rows),
        }
    )
    titles = [" ".join(rng.choice(WORDS, 5)) for _ in items]
    described = pl.DataFrame({columns.ITEM: [f"i{item}" for item in items], columns.TITLE: titles})
    return Tables(
        conform(interactions, columns.INTERACTIONS, table="interactions"),
        conform(described, columns.ITEMS, table="items"),
        columns.USERS.to_frame(),
    )


def on_new_items(model: Recommender, folded: pl.DataFrame) -> float:
    """NDCG@10 among the withheld items of the protocol ``cold_items``."""
    held = folded[columns.HELD_OUT]
    cold = folded.filter(held)
    users = cold[columns.USER].unique().sort().to_list()
    known = folded.filter(~held & folded[columns.USER].is_in(users))
    histories = from_events(known, model.item_index, user_ids=users, attributes={})
    new = cold[columns.ITEM].unique().sort().to_list()
    place = {item: n for n, item in enumerate(new)}
    row = {user: n for n, user in enumerate(users)}
    targets = np.zeros((len(users), len(new)), dtype=bool)
    for user, item in cold.select(columns.USER, columns.ITEM).iter_rows():
        targets[row[user], place[item]] = True
    scores = model.score(histories)[:, [model.item_index[item] for item in new]]
    eligible = torch.ones(scores.shape, dtype=torch.bool)
    return float(ndcg(torch.from_numpy(scores), eligible, torch.from_numpy(targets)).mean())
