"""From ragged histories to the padded tensors the graph reads."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from counterpoint.errors import ConfigError
from counterpoint.graph import OTHER_KIND, POSITIVE_KIND
from counterpoint.histories import Histories
from counterpoint.prior import multi_hot


@dataclass(frozen=True)
class Inputs:
    """Padded tensors of B users, named as the inputs of the ONNX graph (see graph.py)."""

    history: npt.NDArray[np.int64]
    history_age: npt.NDArray[np.float32]
    history_kind: npt.NDArray[np.int64]
    profile: npt.NDArray[np.float32]


def pad(histories: Histories, profile: Sequence[str], history_length: int) -> Inputs:
    """Return the padded tensors of a batch; see graph.py for their meaning.

    Args:
        histories: B users.
        profile: Profile vocabulary.
        history_length: Newest events that are kept.
    """
    if history_length < 1:
        raise ConfigError([f"history_length = {history_length} must be at least 1."])
    lengths = np.diff(histories.indptr)
    kept = np.minimum(lengths, history_length)
    width = max(int(kept.max(initial=0)), 1)
    owner = histories.owners
    place = np.arange(len(histories.items)) - (histories.indptr[:-1] + lengths - kept)[owner]
    inside = place >= 0
    row, column = owner[inside], place[inside]
    history = np.zeros((len(histories), width), dtype=np.int64)
    age = np.zeros((len(histories), width), dtype=np.float32)
    kind = np.zeros((len(histories), width), dtype=np.int64)
    history[row, column] = histories.items[inside] + 1
    age[row, column] = histories.ages()[inside]
    kind[row, column] = np.where(histories.positive[inside], POSITIVE_KIND, OTHER_KIND)
    return Inputs(history, age, kind, multi_hot(histories.attributes, profile))
