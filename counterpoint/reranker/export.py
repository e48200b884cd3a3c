"""The re-ranker as an ONNX graph, refused unless it judges as torch does."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from counterpoint import onnx_parity
from counterpoint.config.serve import ExportConfig
from counterpoint.errors import ConfigError, QualityError
from counterpoint.histories import Histories
from counterpoint.onnx_graphs import export_module
from counterpoint.recommender import Recommender
from counterpoint.reranker import batches, blend
from counterpoint.reranker.model import Reranker

INPUTS = ("history", "history_kind", "candidate", "score")
OUTPUTS = ("logit", "rating")

MAX_BYTES = 1_800_000_000
"""Of the tables in the graph: ONNX files end at 2 GB."""

EVERY = 3
"""Every so many users the check leaves places of the list empty, as padding."""


def write(
    reranker: Reranker,
    recommender: Recommender,
    users: Histories,
    path: Path,
    config: ExportConfig,
) -> float:
    """Write the graph `reranker`; return the largest difference of its answers from torch's.

    Args:
        reranker: Trained.
        recommender: Of the same model.
        users: Whose best items are judged in the check.
        path: File to write.
        config: Opset and tolerance.

    Raises:
        ConfigError: The catalogue is too large for a graph.
        QualityError: The graph answers otherwise than torch.
    """
    features = reranker.student.features
    size = 4 * (features.text.numel() + features.attributes.numel())
    if size > MAX_BYTES:
        raise ConfigError(
            [
                f"The re-ranker's tables of {recommender.n_items} items take {size / 1e9:.1f} GB; "
                f"an ONNX graph holds at most {MAX_BYTES / 1e9:.1f}. Use train.reranker = null."
            ]
        )
    judge = reranker.judge()
    long = torch.int64
    example = {
        "history": torch.tensor([[1, 1, 0], [1, 0, 0]], dtype=long),
        "history_kind": torch.tensor([[2, 1, 0], [1, 0, 0]], dtype=long),
        "candidate": torch.tensor([[1, 1], [1, 0]], dtype=long),
        "score": torch.tensor([[1.0, 0.5], [1.0, 0.0]]),
    }
    free = {name: {0: "B", 1: "L" if name.startswith("history") else "C"} for name in example}
    free |= {name: {0: "B", 1: "C"} for name in OUTPUTS}
    export_module(judge, example, list(OUTPUTS), free, path, opset=config.opset)
    return _check(path, reranker, recommender, users, config.tolerance)


def contract(reranker: Reranker) -> dict[str, Any]:
    """Return what a caller of the graph must know."""
    settings = reranker.settings
    return {
        "weight": settings.weight,
        "depth": settings.depth,
        "events": settings.events,
        "ratings": settings.ratings,
    }


def _check(
    path: Path,
    reranker: Reranker,
    recommender: Recommender,
    users: Histories,
    tolerance: float,
) -> float:
    session, judge = onnx_parity.session(path), reranker.judge()
    worst = 0.0
    for rows, _, found in blend.candidates(reranker, recommender, users, recommender.n_items):
        for place in range(len(rows)):
            history, kind = batches.histories(
                users.take(rows[place : place + 1]), reranker.settings.events
            )
            item, score = found.item[place : place + 1] + 1, found.score[place : place + 1].copy()
            if place % EVERY == 1:
                item[:, item.shape[1] // 2 :] = 0
            feed = dict(zip(INPUTS, (history.numpy(), kind.numpy(), item, score), strict=True))
            with torch.inference_mode():
                own = judge(*(torch.from_numpy(value) for value in feed.values()))
            theirs = session.run(list(OUTPUTS), feed)
            for name, mine, other in zip(OUTPUTS, own, theirs, strict=True):
                difference = np.abs(np.nan_to_num(mine.numpy() - other) * (item > 0))
                same = np.array_equal(np.isnan(mine.numpy()), np.isnan(other))
                worst = max(worst, float(difference.max(initial=0.0)))
                if not same or worst > tolerance:
                    raise QualityError(
                        f"The graph of the re-ranker gives {users.user_ids[rows[place]]!r} a "
                        f"{name} that differs from torch's by {worst:.2g}; at most {tolerance:g} "
                        "is allowed (export.tolerance). Use another export.opset."
                    )
    return worst
