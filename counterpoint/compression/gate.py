"""Accept or refuse a form of the encoder: a pure function of its measurements."""

import math
from dataclasses import dataclass

from counterpoint.bootstrap import Interval
from counterpoint.config.compression import CompressionConfig
from counterpoint.gate import Reason


@dataclass(frozen=True)
class Measured:
    """What was measured of a form, against the uncompressed one.

    Attributes:
        megabytes: Size of graph and tokenizer in 10^6 bytes.
        milliseconds: Batch size -> median CPU time of tokenising and encoding it.
        cosine: Mean cosine of the vectors.
        least_cosine: The smallest.
        overlap: See ``neighbours.overlap``.
        ndcg: NDCG@10 on new items.
        reference_ndcg: That of the uncompressed form.
        difference: Their paired difference over users.
    """

    megabytes: float
    milliseconds: dict[int, float]
    cosine: float
    least_cosine: float
    overlap: float
    ndcg: float
    reference_ndcg: float
    difference: Interval


def judge(found: Measured, config: CompressionConfig) -> list[Reason]:
    """Return the conditions; the form is accepted if every one is passed.

    The cosine is none of them: vectors that lose a quarter of the neighbours still have 0.99.
    """
    return [_overlap(found, config), _ndcg(found, config)]


def _overlap(found: Measured, config: CompressionConfig) -> Reason:
    kept = found.overlap >= config.min_overlap
    return Reason(
        "keeps the nearest items",
        kept,
        f"{found.overlap:.3f} of the 10 nearest items are the same; at least "
        f"{config.min_overlap} is asked for (export.compression.min_overlap).",
        judged=not math.isnan(found.overlap),
    )


def _ndcg(found: Measured, config: CompressionConfig) -> Reason:
    condition = "ranks new items no worse"
    users = found.difference.users
    if users < config.min_users:
        return Reason(
            condition,
            False,
            f"{users} users liked an item that can stand for a new one; "
            f"{config.min_users} are asked for (export.compression.min_users).",
            judged=False,
        )
    allowed = config.max_ndcg_loss * found.reference_ndcg
    low, high = found.difference.low, found.difference.high
    kept = low >= -allowed
    advice = ""
    if not kept and high >= 0:
        advice = " The interval is too wide to tell; more users or another margin may help."
    return Reason(
        condition,
        kept,
        f"NDCG@10 on new items {found.ndcg:.4f} against {found.reference_ndcg:.4f}, difference "
        f"{found.difference.mean:+.4f} ({low:+.4f} to {high:+.4f}, {users} users); the interval "
        f"may reach down to {-allowed:+.4f} ({config.max_ndcg_loss:.1%}, "
        f"export.compression.max_ndcg_loss).{advice}",
    )
