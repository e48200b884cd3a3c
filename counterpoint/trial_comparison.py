"""Trials compared user by user."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from counterpoint.config import EvaluateConfig
from counterpoint.interval_json import number
from counterpoint.simultaneous import compare
from counterpoint.trials import Trial


def pooled(parts: Sequence[Sequence[Trial]]) -> dict[str, float]:
    """One value per user over several evaluations of one method.

    Args:
        parts: The trials of each evaluation (an item split, say), one per training seed.

    Returns:
        User -> mean over the evaluations the user is judged in, of the mean over the seeds.
    """
    values: dict[str, list[float]] = {}
    for trials in parts:
        vector = np.mean([trial.primary for trial in trials], axis=0)
        for user, value in zip(trials[0].user_ids, vector, strict=True):
            values.setdefault(user, []).append(float(value))
    return {user: float(np.mean(found)) for user, found in values.items()}


def paired(
    pairs: Sequence[tuple[Mapping[str, float], Mapping[str, float]]], config: EvaluateConfig
) -> list[dict[str, Any]]:
    """Compare methods on the same users, p-values corrected for the number of comparisons.

    Args:
        pairs: (candidate, reference), each user -> value; all of the same users.
        config: Resamples, confidence, seed.

    Returns:
        One JSON-ready record per pair: ``mean`` (candidate minus reference), ``low``, ``high``,
        ``p``, ``p_corrected``, ``users`` and ``relative`` to the reference's mean.

    Raises:
        ValueError: The users differ.
    """
    if not pairs:
        return []
    users = sorted(pairs[0][0])
    if any(sorted(values) != users for pair in pairs for values in pair):
        raise ValueError("Paired comparisons need the same users in all methods.")
    candidates, references = (
        np.array([[pair[side][user] for pair in pairs] for user in users]) for side in (0, 1)
    )
    found = compare(
        candidates - references,
        resamples=config.resamples,
        confidence=config.confidence,
        seed=config.seed,
    )
    bases = np.nanmean(references, axis=0)
    return [
        {
            name: number(getattr(found, name)[place])
            for name in ("mean", "low", "high", "p", "p_corrected")
        }
        | {"users": int(found.users[place])}
        | {"relative": number(found.mean[place] / base) if base else None}
        for place, base in enumerate(bases)
    ]
