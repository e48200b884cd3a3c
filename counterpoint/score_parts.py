"""What each scorer of the fusion adds to the score of one item."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch

from counterpoint.cold import moments
from counterpoint.histories import Histories
from counterpoint.recommender import Recommender

PRIOR = "prior"
BOOST = "cold boost"
REST = "rest"
"""What no weight accounts for: of cold items what the scorers do together, else rounding."""


def is_cold(recommender: Recommender, item: int) -> bool:
    """Whether the item's score is predicted from features because nobody has liked it yet."""
    cold = recommender.module.cold
    return item >= cold.n_scored or not bool(cold.warm[item])


def score_parts(recommender: Recommender, user: Histories, item: int) -> dict[str, float]:
    """Return name -> share of the score; the shares add up to it.

    A scorer's share is the fall of the score when its weight is 0. The fusion is linear in its
    weights, so for warm items nothing is left over; the scores of cold items are predicted from
    standardised ones, so there the shares of the scorers overlap and ``rest`` is what they do
    together. Without a positive in the history the prior stands alone and has it all.

    Args:
        recommender: The model.
        user: Exactly one user.
        item: Catalogue index.
    """
    score = _score(recommender, user, item)
    parts = {}
    if user.positive.any():
        names = list(recommender.report.get("choices", {}).get("linear", {}))
        for name, weights in _without_one(recommender.module.weights, names):
            # A shallow copy: the tensors and submodules stay shared, only `weights` is its own.
            module = copy.copy(recommender.module)
            module.weights = weights
            parts[name] = score - _score(replace(recommender, module=module), user, item)
    if is_cold(recommender, item) and bool(recommender.module.cold.features[item].any()):
        parts[BOOST] = recommender.module.cold.boost * _spread(recommender, user)
    rest = score - sum(parts.values())
    return {**parts, (REST if user.positive.any() else PRIOR): rest}


def _score(recommender: Recommender, user: Histories, item: int) -> float:
    return float(recommender.score(user)[0, item])


def _spread(recommender: Recommender, user: Histories) -> float:
    """Spread of the user's warm scores, the unit of the boost."""
    inputs = (torch.from_numpy(tensor) for tensor in vars(recommender.inputs(user)).values())
    with torch.inference_mode():
        fused = recommender.module.parts(*inputs).fused
        return float(moments(fused, recommender.module.cold.warm)[1])


def _without_one(weights: Any, linear: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Yield scorer name and the weights without it, for every weight that is not 0 already.

    Args:
        weights: Of the fusion.
        linear: Names of the linear parts; a model without a report has numbers instead.
    """
    for field in fields(weights):
        value = getattr(weights, field.name)
        if isinstance(value, float) and value:
            yield field.name, replace(weights, **{field.name: 0.0})
        elif isinstance(value, tuple) and all(isinstance(v, float) for v in value):
            for place in np.flatnonzero(value).tolist():
                fewer = (*value[:place], 0.0, *value[place + 1 :])
                name = linear[place] if len(linear) == len(value) else str(place + 1)
                yield f"linear {name}", replace(weights, **{field.name: fewer})
