"""Synthetic catalogues of any size: vectors to search, and a whole model around them."""

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from counterpoint import columns
from counterpoint.cold import ColdExtension
from counterpoint.config.linear import Weighting
from counterpoint.fusion import FusionWeights
from counterpoint.graph import RecommenderModule, TowerScorer
from counterpoint.histories import Histories
from counterpoint.linear import LinearScorer
from counterpoint.model_folder import Settings
from counterpoint.prior import PriorScorer
from counterpoint.recommender import Recommender
from counterpoint.towers import UserTower

Vectors = npt.NDArray[np.float32]

DIM = 128
GROUPS = 2000
POOLS = (2.0, 10.0)
COVERED = 5_000
FEATURES = 384
PROFILE = 32
COLD_SHARE = 0.01


def vectors(kind: str, items: int, queries: int, seed: int = 0) -> tuple[Vectors, Vectors]:
    """Return unit (N, 128) item vectors and (Q, 128) user vectors.

    Args:
        kind: ``random``: uniform on the sphere, the worst case of any index. ``clustered``: groups
            of unequal size, a spectrum that falls as 1 / axis, users near the mean of five items.
        items: N.
        queries: Q.
        seed: Of the draw.
    """
    rng = np.random.default_rng(seed)
    if kind == "random":
        drawn = rng.standard_normal((items, DIM), dtype=np.float32)
        return unit(drawn), unit(rng.standard_normal((queries, DIM), dtype=np.float32))
    spread = (np.arange(1, DIM + 1) ** -0.5).astype(np.float32)
    centres = rng.standard_normal((GROUPS, DIM), dtype=np.float32) * spread
    size = np.arange(1, GROUPS + 1) ** -0.7
    drawn = 0.7 * rng.standard_normal((items, DIM), dtype=np.float32) * spread
    drawn += centres[rng.choice(GROUPS, items, p=size / size.sum())]
    drawn = unit(drawn)
    users = drawn[rng.integers(0, items, (queries, 5))].mean(1)
    return drawn, unit(users + 0.2 * spread * rng.standard_normal(users.shape, dtype=np.float32))


def unit(rows: Vectors) -> Vectors:
    """Scale rows to length 1, in place."""
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def model(items: int, normalisation: str, *, covered: int = COVERED, seed: int = 0) -> Recommender:
    """Return an untrained model of the usual sizes: its answers mean nothing, its costs do.

    One in a hundred items has never been liked; they are known by 384 features.
    """
    torch.manual_seed(seed)
    found, _ = vectors("clustered", items, 1, seed)
    user = UserTower(items, DIM, POOLS, dropout=0.0)
    with torch.no_grad():
        user.history.weight.copy_(torch.from_numpy(found))
    popularity = (torch.arange(items) + 10.0) ** -0.8
    popularity = popularity[torch.randperm(items)]
    bias = 0.3 * torch.log(popularity / popularity.mean())
    frequent = torch.topk(popularity, min(covered, items)).indices.sort().values
    weights = torch.nn.functional.pad(
        0.02 * torch.randn(len(frequent), len(frequent)), (0, 1, 0, 1)
    )
    linears = [
        LinearScorer(frequent, weights, n_items=items, weighting=Weighting(recency=recency))
        for recency in (4.0, 0.0)
    ]
    warm = torch.rand(items) >= COLD_SHARE
    warm[frequent] = True
    features = torch.nn.functional.normalize(torch.randn(items, FEATURES), dim=1)
    ridge = torch.where(warm.unsqueeze(1), features, 0.0) * (FEATURES / items)
    module = RecommenderModule(
        TowerScorer(user, torch.from_numpy(found) / 0.1, bias),
        linears,
        None,
        PriorScorer(torch.log(popularity / popularity.max()), 0.1 * torch.randn(PROFILE, items)),
        ColdExtension(warm, ridge, features, boost=0.2),
        FusionWeights(normalisation, (1.0, 0.5), 0.0, 1.5, 0.5),  # type: ignore[arg-type]
    ).eval()
    ids = [str(item) for item in range(items)]
    table = pl.DataFrame(
        {columns.ITEM: ids, columns.TITLE: ids, columns.ATTRIBUTES: [[]] * items},
        schema_overrides={columns.ATTRIBUTES: pl.List(pl.String)},
    )
    settings = Settings(
        dim=DIM,
        pools=POOLS,
        linears=(Weighting(recency=4.0), Weighting(recency=0.0)),
        factors=None,
        boost=0.2,
        fusion=module.weights,
        profile=tuple(f"group={token}" for token in range(PROFILE)),
        item_vocabulary=(),
        attribute_weight=0.5,
        history_length=50,
    )
    return Recommender(module, table, settings)


def users(recommender: Recommender, count: int, seed: int = 1) -> Histories:
    """Return users whose histories of 1 to 50 events lie around one item each."""
    rng = np.random.default_rng(seed)
    module = recommender.module
    known = torch.nonzero(module.cold.warm).squeeze(1).numpy()
    lengths = rng.integers(1, 51, count)
    items = rng.choice(known, int(lengths.sum()))
    return Histories(
        [str(user) for user in range(count)],
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        items.astype(np.int64),
        rng.random(len(items)) < 0.9,
        np.arange(len(items), dtype=np.int64),
        [[f"group={rng.integers(PROFILE)}"] for _ in range(count)],
    )
