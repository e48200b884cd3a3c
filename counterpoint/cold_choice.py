"""The boost of cold items, chosen on validation by the room they take in the lists.

Every place a cold item takes is one a known item loses. So the greatest boost is taken with which
cold items hold no more than a stated share of the first ten places, each weighted by its discount
in DCG. That is counted twice, and the greater share decides: for the items that are cold in the
fit, and for a share of the warm items whose scores are predicted from their features by the
extension fitted on the others, which stands for items that are added later. The shares vary much
less from sample to sample than the NDCG@10 that is lost, which is recorded beside them.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from counterpoint import fitting
from counterpoint.cold import ColdExtension, moments
from counterpoint.config.train import TrainConfig
from counterpoint.fitting import Fold
from counterpoint.graph import Parts, RecommenderModule
from counterpoint.item_catalogue import ItemCatalogue
from counterpoint.pools import K, Validation, ndcg

HIDDEN = 0.1
"""Share of the warm items that is treated as cold."""

MAX_USERS = 500
BARRED = -1e6
"""A boost that keeps every cold item out of the lists."""


def choose(
    module: RecommenderModule,
    fold: Fold,
    validation: Validation,
    catalogue: ItemCatalogue,
    config: TrainConfig,
) -> tuple[float, list[dict[str, Any]]]:
    """Return the boost and one record per boost tried.

    The configured boost stands for a catalogue of which neither text nor attributes are known.

    Args:
        module: The fused model of the fit to choose by.
        fold: That fit.
        validation: Its users; a sample is judged.
        catalogue: Features of all items.
        config: The grid and the bound.
    """
    if not catalogue.features.any():
        return config.cold.boost, []
    rng = np.random.default_rng(config.seed)
    warm = np.flatnonzero(fold.warm)
    hidden = np.zeros(len(catalogue), dtype=bool)
    hidden[rng.choice(warm, max(1, round(HIDDEN * len(warm))), replace=False)] = True
    left = replace(fold, popularity=np.where(hidden, 0.0, fold.popularity).astype(np.float32))
    boosts = sorted({config.cold.boost, *config.choices.cold_boosts})
    simulated = fitting.extension(left, catalogue, 0.0, config)
    actual = fitting.extension(fold, catalogue, 0.0, config)
    new = torch.from_numpy(hidden)
    found: dict[float, list[tuple[npt.NDArray, ...]]] = {boost: [] for boost in (BARRED, *boosts)}
    with torch.inference_mode():
        for chunk in validation.sample(MAX_USERS, config.seed).chunks("Choose the boost"):
            parts = module.parts(chunk.history, chunk.age, chunk.kind, chunk.profile)
            told = evidence(parts, module.cold.warm)
            for boost in found:
                of_hidden = _boosted(simulated, parts, told, boost)
                of_cold = _boosted(actual, parts, told, boost)
                found[boost].append(
                    (
                        _places(of_hidden, chunk.eligible, new),
                        _places(of_cold, chunk.unseen, ~actual.warm),
                        _ndcg(of_hidden, chunk.eligible, chunk.targets & ~new),
                        _ndcg(of_hidden, chunk.eligible, chunk.targets & new),
                    )
                )
    measured = {
        boost: [np.concatenate(p) for p in zip(*found[boost], strict=True)] for boost in found
    }
    barred = _mean(measured[BARRED][2])
    tried: list[dict[str, Any]] = []
    for boost in boosts:
        places, others, on_warm, on_new = (_mean(values) for values in measured[boost])
        lost = None if on_warm is None or not barred else 1.0 - on_warm / barred
        tried.append(
            {
                "step": "cold boost",
                "boost": boost,
                "places of new items": max(places or 0.0, others or 0.0),
                "ndcg@10 warm": on_warm,
                "ndcg@10 new": on_new,
                "warm loss": lost,
            }
        )
    allowed = [
        r["boost"] for r in tried if r["places of new items"] <= config.choices.max_cold_share
    ]
    taken = max(allowed, default=boosts[0])
    return taken, [record | {"taken": record["boost"] == taken} for record in tried]


def evidence(parts: Parts, warm: Tensor) -> Tensor:
    """Return (B, N0): what the scores of cold items are predicted from."""
    total = torch.zeros_like(parts.fused)
    for scores, _ in parts.evidence:
        mean, spread = moments(scores, warm)
        total = total + (scores - mean) / spread.clamp(min=1e-6)
    return total


def _boosted(extension: ColdExtension, parts: Parts, told: Tensor, boost: float) -> Tensor:
    """(B, N) scores with the cold ones moved by a boost."""
    scores = extension(parts.fused, told)
    _, spread = moments(parts.fused, extension.warm)
    return torch.where(extension.warm, scores, scores + boost * spread)


def _places(scores: Tensor, eligible: Tensor, new: Tensor) -> npt.NDArray[np.float64]:
    """(B,) discounted share of the first ten places that the (N,) new items hold."""
    top = torch.topk(scores.masked_fill(~eligible, -torch.inf), min(K, scores.shape[1]), dim=-1)
    discount = 1.0 / torch.log2(torch.arange(2, top.indices.shape[1] + 2, dtype=torch.float64))
    held = new[top.indices] & (top.values > -torch.inf)
    return ((held.double() * discount).sum(-1) / discount.sum()).numpy()


def _ndcg(scores: Tensor, eligible: Tensor, targets: Tensor) -> npt.NDArray[np.float64]:
    """(B,) NDCG@10, NaN for users without a target of the kind."""
    return np.where(targets.any(-1).numpy(), ndcg(scores, eligible, targets), np.nan)


def _mean(values: npt.NDArray[np.float64]) -> float | None:
    """Mean over the users that have a value, None without any."""
    return None if np.isnan(values).all() else float(np.nanmean(values))
