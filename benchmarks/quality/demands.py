"""What is demanded of the model, and whether this run meets it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.quality import ensemble
from benchmarks.quality.runs import MODEL
from counterpoint.trials import MIXED

MAX_FIT_SECONDS, MAX_CHOICES_SECONDS, MAX_MB = 60.0, 300.0, 1500.0
MAX_WARM_LOSS = 0.03
STRONG = ("ease", "edlae_recency", "slist", "ials")
"""The model may never be significantly below the best of these."""
ELSEWHERE = ("ease", "edlae_recency")
"""The model must be above these on other data too."""


@dataclass(frozen=True)
class Demand:
    """Numbers of one protocol on MovieLens-100K.

    Attributes:
        must: NDCG@10, mean over the seeds.
        aim: What would be better still.
        over: Baseline -> least relative gain.
        above: Baselines whose paired interval must lie below the model.
    """

    must: float
    aim: float
    over: Mapping[str, float] = field(default_factory=dict)
    above: Sequence[str] = ()


MOVIELENS_100K: dict[str, Demand] = {
    "per_user": Demand(0.183, 0.190, {"ease": 0.19, "edlae_recency": 0.07}, STRONG),
    "global_temporal": Demand(0.285, 0.292, {"ease": 0.13}, ("ease",)),
    "leave_last_out": Demand(0.141, 0.146, {"ease": 0.29, "edlae_recency": 0.11}, STRONG),
    "cold_items": Demand(0.28, 0.32),
}


@dataclass(frozen=True)
class Check:
    """One line of the page.

    Attributes:
        what: The demand.
        found: What was measured.
        met: Whether it is met.
        aim: It would be better, but is not demanded.
    """

    what: str
    found: str
    met: bool
    aim: bool = False


def check(result: Mapping[str, Any], *, movielens_100k: bool) -> list[Check]:
    """Return the demands on one protocol; those that need a method that was not run are left out.

    Args:
        result: Of ``table.summarise``.
        movielens_100k: Whether the numbers of this data set are demanded; those that hold on any
            data always are.
    """
    if MODEL not in result["methods"]:
        return []
    checks = _numbers(result) if movielens_100k else _above(result, ELSEWHERE)
    return [*checks, *_anywhere(result), *_cost(result["methods"][MODEL])]


def _numbers(result: Mapping[str, Any]) -> list[Check]:
    demand = MOVIELENS_100K.get(result["protocol"])
    if demand is None:
        return []
    found = result["methods"][MODEL]["ndcg"]
    checks = [
        Check(f"NDCG@10 at least {demand.must:.3f}", f"{found:.4f}", found >= demand.must),
        Check(f"aim: {demand.aim:.3f}", f"{found:.4f}", found >= demand.aim, aim=True),
    ]
    for rival, least in demand.over.items():
        if rival in result["advantage"]:
            gain = result["advantage"][rival]["relative"]
            name = rival.replace("_", " ")
            checks.append(Check(f"{least:+.0%} over {name}", f"{gain:+.1%}", gain >= least))
    return [*checks, *_above(result, demand.above)]


def _above(result: Mapping[str, Any], rivals: Sequence[str]) -> list[Check]:
    return [
        Check(
            f"paired 95% interval above 0 over {rival.replace('_', ' ')}",
            _bounds(row),
            _low(row) > 0,
        )
        for rival, row in result["advantage"].items()
        if rival in rivals
    ]


def _anywhere(result: Mapping[str, Any]) -> list[Check]:
    """What holds on every data set."""
    methods, advantage = result["methods"], result["advantage"]
    checks = []
    strong = [rival for rival in STRONG if rival in advantage]
    if strong:
        best = max(strong, key=lambda rival: methods[rival]["ndcg"])
        row = advantage[best]
        checks.append(
            Check(
                f"not significantly below the best of {', '.join(STRONG)} ({best})".replace(
                    "_", " "
                ),
                _bounds(row),
                row["high"] is not None and row["high"] >= 0,
            )
        )
    if ensemble.NAME in advantage:
        row = advantage[ensemble.NAME]
        what = "not significantly below the classical ensemble"
        checks.append(Check(what, _bounds(row), row["high"] is not None and row["high"] >= 0))
    if "ease" in methods:
        own, other = methods[MODEL]["coverage"], methods["ease"]["coverage"]
        checks.append(Check(f"coverage@10 at least EASE's {other:.3f}", f"{own:.3f}", own >= other))
    loss = methods[MODEL].get(MIXED, {}).get("warm_loss")
    if loss is not None:
        what = f"at most {MAX_WARM_LOSS:.0%} of the NDCG@10 on warm items lost to cold ones"
        checks.append(Check(what, f"{loss:.1%}", loss <= MAX_WARM_LOSS))
    return checks


def _cost(model: Mapping[str, Any]) -> list[Check]:
    checks = [
        Check(
            f"peak memory at most {MAX_MB:.0f} MB",
            f"{model['peak_mb']:.0f} MB",
            model["peak_mb"] <= MAX_MB,
        )
    ]
    for part, what, limit in (
        ("final", "one fit without the choices", MAX_FIT_SECONDS),
        ("choose", "the choices", MAX_CHOICES_SECONDS),
    ):
        spent = model[f"{part}_cpu_seconds"]
        if spent is not None:
            found = f"{spent:.0f} CPU s"
            checks.append(Check(f"{what}: at most {limit:.0f} CPU s", found, spent <= limit))
    return checks


def _low(row: Mapping[str, Any]) -> float:
    return float("-inf") if row["low"] is None else float(row["low"])


def _bounds(row: Mapping[str, Any]) -> str:
    return "–" if row["low"] is None else f"{row['low']:+.4f} to {row['high']:+.4f}"
