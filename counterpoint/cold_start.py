"""What new items gain and what they cost: a mixed test with cold items allowed and barred.

Cold items compete for the same places as all others. The *warm loss* is the part of the primary
metric on warm targets that is lost because cold items may be recommended: the same model is ranked
once with and once without them, on the same users.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from counterpoint import metrics
from counterpoint.bootstrap import mean_interval
from counterpoint.config.evaluate import EvaluateConfig
from counterpoint.evaluation import Judged, Task, judge
from counterpoint.histories import Scorer
from counterpoint.interval_json import interval_json, number
from counterpoint.simultaneous import compare
from counterpoint.slices import Slice


def warm_and_cold(
    scorer: Scorer, judged: Judged, task: Task, config: EvaluateConfig
) -> dict[str, Any] | None:
    """Measure the primary metric on warm and on cold targets, and the warm loss.

    Warm are the items with a positive in the training data of the task.

    Args:
        scorer: The model.
        judged: Its evaluation on the task.
        task: Candidates of both kinds.
        config: Primary metric and bootstrap.

    Returns:
        JSON-ready: ``cold_candidates``, ``cold_targets``, ``cold_recommended`` (share of the listed
        items that are cold), ``overall``, ``warm``, ``cold`` (interval of the primary metric, each
        over the users with such a target), ``warm_barred`` (the same lists without cold items),
        ``warm_loss`` (interval of barred minus allowed, ``relative`` to barred, with bounds). None
        where the candidates are not of both kinds or no user has a warm target.
    """
    warm = judged.ranking.popularity > 0
    allowed = np.ones(len(warm), dtype=bool) if task.allowed is None else task.allowed
    if not (warm & allowed).any() or not (~warm & allowed).any():
        return None
    everybody = np.ones(len(task.histories), dtype=bool)
    parts = {
        "warm": Slice("warm", "targets liked by others", everybody, warm),
        "cold": Slice("cold", "targets nobody liked in training", everybody, ~warm),
    }
    cuts = {name: part.cut(judged.ranking)[1] for name, part in parts.items()}
    if not len(cuts["warm"].top):
        return None
    primary = config.metrics[0]
    only_primary = config.model_copy(update={"metrics": (primary,)})
    barred = judge(scorer, replace(task, allowed=warm & allowed), only_primary)
    cuts["warm_barred"] = parts["warm"].cut(barred.ranking)[1]
    vectors = {"overall": judged.measured[primary].per_user} | {
        name: metrics.measure(primary, cut, k=config.k).per_user for name, cut in cuts.items()
    }
    sampling: dict[str, Any] = {
        "resamples": config.resamples,
        "confidence": config.confidence,
        "seed": config.seed,
    }
    sign = 1 if metrics.greater_is_better(primary) else -1
    with_cold, without = vectors["warm"], vectors["warm_barred"]
    assert with_cold is not None and without is not None, "the primary metric has a value per user"
    loss = compare(sign * (without - with_cold)[:, None], **sampling)
    base = float(np.nanmean(without))
    bounds = {"mean": loss.mean[0], "low": loss.low[0], "high": loss.high[0]}
    shown = judged.ranking.at(config.k)
    listed = shown.top[shown.filled]
    return {
        "cold_candidates": int((~warm & allowed).sum()),
        "cold_targets": int(cuts["cold"].targets.nnz),
        "cold_recommended": float((~warm)[listed].mean()) if len(listed) else None,
        **{
            name: interval_json(mean_interval(vector, **sampling))
            for name, vector in vectors.items()
            if vector is not None
        },
        "warm_loss": {name: number(value) for name, value in bounds.items()}
        | {
            f"relative{suffix}": number(bounds[name] / base) if base else None
            for suffix, name in (("", "mean"), ("_low", "low"), ("_high", "high"))
        }
        | {"users": int(loss.users[0])},
    }
