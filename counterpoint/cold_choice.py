"""The boost of cold items, chosen on validation with warm items that are treated as if cold.

A share of the warm items is taken out of the scores' reach: their scores are predicted from their
features by the extension fitted on the others, as those of a new item are. Targets are both kinds
together. The boost taken is the greatest that costs the warm targets no more than the stated share
of their NDCG@10, compared with never recommending a cold item: within that price new items shall
be seen.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from counterpoint import fitting
from counterpoint.cold import moments
from counterpoint.config.train import TrainConfig
from counterpoint.fitting import Fold
from counterpoint.graph import RecommenderModule
from counterpoint.item_catalogue import ItemCatalogue
from counterpoint.pools import Validation, ndcg

LEAST_SHARE, MOST_SHARE = 0.1, 0.5
"""Bounds of the share of the warm items that is treated as cold; between them it is the share of
cold items in the catalogue, for twice as many cold items cost about twice as much."""

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

    The configured boost stands where no validation user has a target of each kind.

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
    share = min(max(1.0 - len(warm) / len(catalogue), LEAST_SHARE), MOST_SHARE)
    hidden[rng.choice(warm, max(1, round(share * len(warm))), replace=False)] = True
    popularity = np.where(hidden, 0.0, fold.popularity).astype(np.float32)
    left = replace(fold, popularity=popularity)
    boosts = sorted({config.cold.boost, *config.choices.cold_boosts})
    found: dict[float, list[tuple[np.ndarray, np.ndarray]]] = {b: [] for b in (BARRED, *boosts)}
    sample = validation.sample(MAX_USERS, config.seed)
    cold = torch.from_numpy(hidden)
    extension = fitting.extension(left, catalogue, 0.0, config)
    with torch.inference_mode():
        for chunk in sample.chunks("Choose the boost of cold items"):
            parts = module.parts(chunk.history, chunk.age, chunk.kind, chunk.profile)
            base = extension(parts.fused, parts.evidence)
            _, spread = moments(parts.fused, extension.warm)
            for boost in found:
                scores = torch.where(extension.warm, base, base + boost * spread)
                judged = [
                    ndcg(scores, chunk.eligible, chunk.targets & kind) for kind in (~cold, cold)
                ]
                wanted = [(chunk.targets & kind).any(-1).numpy() for kind in (~cold, cold)]
                found[boost].append(
                    (np.where(wanted[0], judged[0], np.nan), np.where(wanted[1], judged[1], np.nan))
                )
    means = {}
    for boost, chunks in found.items():
        on_warm, on_cold = (np.concatenate([part[kind] for part in chunks]) for kind in (0, 1))
        if np.isnan(on_warm).all() or np.isnan(on_cold).all():
            return config.cold.boost, []
        means[boost] = (float(np.nanmean(on_warm)), float(np.nanmean(on_cold)))
    bound = means[BARRED][0] * (1.0 - config.choices.max_cold_loss)
    allowed = [boost for boost in boosts if means[boost][0] >= bound] or [boosts[0]]
    taken = max(allowed)
    tried = [
        {
            "step": "cold boost",
            "boost": boost,
            "taken": boost == taken,
            "ndcg@10 warm": means[boost][0],
            "ndcg@10 cold": means[boost][1],
            "warm loss": 1.0 - means[boost][0] / max(means[BARRED][0], 1e-12),
        }
        for boost in boosts
    ]
    return taken, tried
