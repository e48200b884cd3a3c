"""Does an ONNX graph answer as the torch module it was exported from?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch

from counterpoint.errors import QualityError
from counterpoint.graph import RecommenderModule
from counterpoint.histories import Histories
from counterpoint.progress import track
from counterpoint.recommender import Inputs, Recommender

BATCH = 16
RULED = 4
"""Every so many batches the lists are also asked for with rules."""

ALLOWED = 64
"""Items that the check allows where it restricts a list, and that it scores as new ones."""


@dataclass(frozen=True)
class Parity:
    """How far the graph's answers are from torch's.

    Attributes:
        users: Number of users compared.
        score_difference: Largest absolute difference of the scores at one rank.
        swaps: Ranks with another item of an equal score (within the tolerance).
    """

    users: int
    score_difference: float
    swaps: int


@dataclass(frozen=True)
class _Answers:
    item: npt.NDArray[np.int64]
    score: npt.NDArray[np.float32]
    new: npt.NDArray[np.float32]
    """(B, M): what the tastes say of M items as if they were new."""


@dataclass(frozen=True)
class _Rules:
    """The (B, X) items to leave out and the (B, A) items to choose from, one-based."""

    exclude: npt.NDArray[np.int64]
    allow: npt.NDArray[np.int64]


def session(path: Path) -> ort.InferenceSession:
    """Open a graph on one CPU thread: the reference that serving is measured against."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def check_recommender(
    graph: Path, recommender: Recommender, histories: Histories, *, k: int, tolerance: float
) -> Parity:
    """Compare the best k items of real users between the graph and torch.

    Ids must be equal rank by rank. Items whose torch scores are equal within the tolerance may
    stand for each other: the order of ties is not defined in either of them.

    Args:
        graph: Path of ``recommender.onnx``.
        recommender: The model that was exported.
        histories: The users.
        k: Length of the lists.
        tolerance: Largest difference of scores.

    Raises:
        QualityError: Names the worst user and what differs.
    """
    runtime = session(graph)
    worst = of_new = (0.0, "")
    largest, swaps = 0.0, 0
    starts = range(0, len(histories), BATCH)
    for start in track(starts, "Check the ONNX graph against torch"):
        users = np.arange(start, min(start + BATCH, len(histories)))
        inputs = recommender.inputs(histories.take(users))
        cases = [_none(len(users))]
        if start % (BATCH * RULED) == 0:
            cases.append(_some(len(users), recommender.n_items))
        for rules in cases:
            ours, scores = _torch(recommender.module, inputs, rules, k)
            theirs = _onnx(runtime, recommender.module, inputs, rules, k)
            if theirs.item.shape != ours.item.shape:
                raise QualityError(
                    f"{graph} returns lists of shape {theirs.item.shape}, torch {ours.item.shape}. "
                    f"Another opset (export.opset) may help; the model is not exported."
                )
            gap, swapped = _gaps(ours, theirs, scores)
            largest = max(largest, float(np.abs(ours.score - theirs.score).max(initial=0)))
            swaps += int(swapped.sum())
            row, rank = divmod(int(np.argmax(gap)), gap.shape[1])
            if gap[row, rank] > worst[0]:
                user = histories.user_ids[users[row]]
                found = (
                    f"user {user!r} at rank {rank + 1}: torch "
                    f"{_name(recommender, ours, row, rank)}, "
                    f"ONNX {_name(recommender, theirs, row, rank)}"
                )
                worst = (float(gap[row, rank]), found)
            apart = _new_gap(ours, theirs)
            row = int(np.argmax(apart))
            if apart[row] > of_new[0]:
                user = histories.user_ids[users[row]]
                of_new = (float(apart[row]), f"user {user!r}: scores of items added later")
    worst = worst if worst[0] > tolerance else of_new
    if worst[0] > tolerance:
        raise QualityError(
            f"The ONNX graph does not answer as torch does. Worst: {worst[1]}; difference "
            f"{worst[0]:.3g}, allowed {tolerance:g} (export.tolerance). The model is not exported; "
            f"another opset (export.opset) may help."
        )
    return Parity(len(histories), largest, swaps)


def _none(size: int) -> _Rules:
    none = np.zeros((size, 1), np.int64)
    return _Rules(none, none)


def _some(size: int, n_items: int) -> _Rules:
    """Return, for every second user, a choice of items of which one is barred."""
    items = np.unique(np.linspace(1, n_items, min(ALLOWED, n_items)).astype(np.int64))
    restricted = np.arange(size)[:, None] % 2
    return _Rules(restricted * items[len(items) // 2], restricted * items)


def check_vectors(
    ours: npt.NDArray[np.float32],
    theirs: npt.NDArray[np.float32],
    texts: Sequence[str],
    limit: float,
) -> float:
    """Return the largest difference of two (N, D) sets of text vectors.

    Raises:
        QualityError: It is above the limit; names the worst text.
    """
    gap = np.abs(ours - theirs).max(axis=1)
    worst = int(np.argmax(gap))
    if not gap[worst] <= limit:
        raise QualityError(
            f"The ONNX item encoder does not answer as torch does. Worst text: {texts[worst]!r}; "
            f"difference {gap[worst]:.3g}, allowed {limit:g} (export.tolerance). The model is not "
            f"exported; another opset (export.opset) may help."
        )
    return float(gap[worst])


def _torch(
    module: RecommenderModule, inputs: Inputs, rules: _Rules, k: int
) -> tuple[_Answers, npt.NDArray[np.float32]]:
    """Return the answers and the (B, 1 + N) scores, column 0 standing for no item."""
    tensors = [torch.from_numpy(value) for value in vars(inputs).values()]
    wanted = [torch.from_numpy(value) for value in vars(rules).values()]
    size = len(inputs.history)
    with torch.inference_mode():
        item, score, _, taste = module(*tensors, *wanted, torch.full((size, 1), k))
        scores = torch.cat([torch.zeros((size, 1)), module.scores(*tensors)], dim=1)
    new = _of_new(module, taste.numpy())
    return _Answers(item.numpy(), score.numpy(), new), scores.numpy()


def _onnx(
    runtime: ort.InferenceSession,
    module: RecommenderModule,
    inputs: Inputs,
    rules: _Rules,
    k: int,
) -> _Answers:
    feed = {**vars(inputs), **vars(rules), "k": np.full((len(inputs.history), 1), k, np.int64)}
    item, score, taste = runtime.run(["item", "score", "taste"], feed)
    return _Answers(item, score, _of_new(module, taste))


def _of_new(module: RecommenderModule, taste: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the scores that some items of the catalogue would have if they were added now."""
    features = module.cold.features
    rows = np.linspace(0, len(features) - 1, min(ALLOWED, len(features))).astype(np.int64)
    width = features.shape[1]
    described = taste[:, :width] @ features[rows].numpy().T + taste[:, width : width + 1]
    return np.concatenate([described, taste[:, width + 1 :]], axis=1)


def _new_gap(ours: _Answers, theirs: _Answers) -> npt.NDArray[np.float32]:
    """Return the (B,) largest difference of the scores of new items."""
    gap = np.abs(ours.new - theirs.new).max(axis=1)
    return np.where(np.isnan(gap), np.inf, gap).astype(np.float32)


def _gaps(
    ours: _Answers, theirs: _Answers, scores: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return the (B, K) difference of scores, and where another item stands."""
    chosen = np.take_along_axis(scores, theirs.item, axis=1)
    other = ours.item != theirs.item
    gap = np.maximum(
        np.abs(ours.score - theirs.score), np.where(other, abs(chosen - ours.score), 0)
    )
    # An item where torch has none (or the other way round) is no tie, nor is a repeated one.
    gap = np.where((ours.item == 0) != (theirs.item == 0), np.inf, gap)
    repeated = np.sort(theirs.item, axis=1)
    twice = ((repeated[:, 1:] == repeated[:, :-1]) & (repeated[:, 1:] > 0)).any(axis=1)
    gap = np.where(twice[:, None], np.inf, gap)
    return np.where(np.isnan(gap), np.inf, gap).astype(np.float32), other


def _name(recommender: Recommender, answers: _Answers, row: int, rank: int) -> str:
    item = int(answers.item[row, rank])
    name = repr(recommender.item_ids[item - 1]) if item else "no item"
    return f"{name} ({answers.score[row, rank]:.6g})"
