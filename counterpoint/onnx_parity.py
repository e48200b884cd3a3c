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
    worst = (0.0, "")
    largest, swaps = 0.0, 0
    starts = range(0, len(histories), BATCH)
    for start in track(starts, "Check the ONNX graph against torch"):
        users = np.arange(start, min(start + BATCH, len(histories)))
        inputs = recommender.inputs(histories.take(users))
        ours, scores = _torch(recommender.module, inputs, k)
        theirs = _onnx(runtime, inputs, k)
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
                f"user {user!r} at rank {rank + 1}: torch {_name(recommender, ours, row, rank)}, "
                f"ONNX {_name(recommender, theirs, row, rank)}"
            )
            worst = (float(gap[row, rank]), found)
    if worst[0] > tolerance:
        raise QualityError(
            f"The ONNX graph does not answer as torch does. Worst: {worst[1]}; difference "
            f"{worst[0]:.3g}, allowed {tolerance:g} (export.tolerance). The model is not exported; "
            f"another opset (export.opset) may help."
        )
    return Parity(len(histories), largest, swaps)


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
    module: RecommenderModule, inputs: Inputs, k: int
) -> tuple[_Answers, npt.NDArray[np.float32]]:
    """Return the answers and the (B, 1 + N) scores, column 0 standing for no item."""
    tensors = [torch.from_numpy(value) for value in vars(inputs).values()]
    size = len(inputs.history)
    with torch.inference_mode():
        none = torch.zeros((size, 1), dtype=torch.int64)
        item, score, _ = module(*tensors, none, torch.full((size, 1), k))
        scores = torch.cat([torch.zeros((size, 1)), module.scores(*tensors)], dim=1)
    return _Answers(item.numpy(), score.numpy()), scores.numpy()


def _onnx(runtime: ort.InferenceSession, inputs: Inputs, k: int) -> _Answers:
    size = len(inputs.history)
    feed = {
        **vars(inputs),
        "exclude": np.zeros((size, 1), np.int64),
        "k": np.full((size, 1), k, np.int64),
    }
    return _Answers(*runtime.run(["item", "score"], feed))


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
