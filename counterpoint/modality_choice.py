"""Which modalities speak for new items, chosen on validation.

Vectors that say nothing of what people like make the prediction for new items worse. So the warm
items are divided into ``FOLDS``, each is hidden in turn as if nobody had met its items (the
extension of cold.py is fitted on the others), and a modality is left out of the kernel where
NDCG@10 among the hidden items is clearly better without it: by two standard errors of the paired
difference. The scorers keep what they learned of the hidden items, which helps every choice alike.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from counterpoint import fitting
from counterpoint.cold_choice import evidence
from counterpoint.config.train import TrainConfig
from counterpoint.fitting import Fold
from counterpoint.graph import RecommenderModule
from counterpoint.item_catalogue import ItemCatalogue
from counterpoint.pools import Validation, ndcg
from counterpoint.significance import nearest_of_best

FOLDS = 4


def choose(
    module: RecommenderModule,
    fold: Fold,
    validation: Validation,
    catalogue: ItemCatalogue,
    config: TrainConfig,
) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the modalities to leave out for new items, and one record per modality.

    Args:
        module: The fused model of the fit to choose by.
        fold: That fit.
        validation: Its users; all are judged, for the differences are small.
        catalogue: All items, with modalities.
        config: Ridge of the regression, and the seed.
    """
    names = [content.modality.name for content in catalogue.contents if content.modality.weight]
    candidates = [catalogue, *(catalogue.silencing([name]) for name in names)]
    whole, *others = _judge(module, fold, validation, candidates, config)
    dropped, tried = [], []
    for name, without in zip(names, others, strict=True):
        known = ~np.isnan(whole)
        values = {True: whole[known], False: without[known]}
        kept = not known.any() or nearest_of_best(values, lambda with_it: float(not with_it))
        if not kept:
            dropped.append(name)
        tried.append(
            {
                "step": "modality of new items",
                "modality": name,
                "ndcg@10 with": _mean(values[True]),
                "ndcg@10 without": _mean(values[False]),
                "users": int(known.sum()),
                "taken": bool(kept),
            }
        )
    return dropped, tried


def _judge(
    module: RecommenderModule,
    fold: Fold,
    validation: Validation,
    candidates: Sequence[ItemCatalogue],
    config: TrainConfig,
) -> list[npt.NDArray[np.float64]]:
    """(U,) mean NDCG@10 of each user over the folds, of each candidate; NaN without a target."""
    order = np.random.default_rng(config.seed).permutation(np.flatnonzero(fold.warm))
    hidden = [np.sort(order[start::FOLDS]) for start in range(FOLDS) if len(order) > start]
    found: list[list[npt.NDArray[np.float64]]] = [[] for _ in candidates]
    with torch.inference_mode():
        extensions = []
        for items in hidden:
            popularity = fold.popularity.copy()
            popularity[items] = 0.0
            left = replace(fold, popularity=popularity)
            extensions.append([fitting.extension(left, c, 0.0, config) for c in candidates])
        for chunk in validation.chunks("Choose the modalities of new items"):
            parts = module.parts(chunk.history, chunk.age, chunk.kind, chunk.profile)
            told = evidence(parts, module.cold.warm)
            for values, of_fold in zip(found, zip(*extensions, strict=True), strict=True):
                per_fold = []
                for items, extension in zip(hidden, of_fold, strict=True):
                    scores = extension(parts.fused, told)[:, items]
                    targets = chunk.targets[:, items]
                    ranked = ndcg(scores, chunk.eligible[:, items], targets)
                    per_fold.append(np.where(targets.any(-1).numpy(), ranked, np.nan))
                values.append(_mean_known(np.stack(per_fold)))
    return [np.concatenate(values) for values in found]


def _mean_known(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean over the first axis of what is not NaN; NaN where nothing is."""
    known = ~np.isnan(values)
    count = known.sum(0)
    total = np.where(known, values, 0.0).sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _mean(values: npt.NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None
