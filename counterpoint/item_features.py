"""Features of an item: its text vector beside the vectors of its modalities and its attributes.

Training, ``Recommender.extend`` and the live items inside Triton all use this one definition, so an
item scores the same before and after it is trained in. Standard library and numpy only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from counterpoint.errors import DataError

NOTHING = 1e-6
"""A vector that is no longer than this beside the mean of all says nothing about its item."""


@dataclass(frozen=True)
class Modality:
    """How a model reads the vectors of one modality.

    Encoders of images and audio often put all they see into one narrow cone, where every cosine is
    near 1. So the mean of the unit vectors is taken away first ("all but the top", Mu and
    Viswanath, ICLR 2018, without its second step).

    Attributes:
        name: Such as ``image``.
        weight: In the kernel.
        centre: (D,) mean of the unit vectors of the training items.
    """

    name: str
    weight: float
    centre: tuple[float, ...]

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Modality":
        """Read what ``dataclasses.asdict`` made of one, as in contract.json."""
        return cls(given["name"], float(given["weight"]), tuple(map(float, given["centre"])))

    @property
    def width(self) -> int:
        """D."""
        return len(self.centre)

    def prepare(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return ``normalise(normalise(x) - centre)`` of each row; rows of zeros stay zero.

        Args:
            vectors: (N, D); a row of zeros: the item has none.

        Raises:
            DataError: A vector has another width, or holds NaN or infinity.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.width:
            raise DataError(
                f"Vectors of modality {self.name!r} have the shape {vectors.shape}; the model "
                f"reads {self.width} numbers an item. Give vectors of the encoder it was trained "
                "with."
            )
        units = unit_rows(vectors, self.name)
        centred = units - np.asarray(self.centre)
        length = np.linalg.norm(centred, axis=1, keepdims=True)
        known = units.any(1, keepdims=True) & (length > NOTHING)
        return np.where(known, centred / np.maximum(length, NOTHING), 0.0).astype(np.float32)


def unit_rows(vectors: npt.NDArray[np.float32], name: str) -> npt.NDArray[np.float64]:
    """Return the rows with length 1; rows of zeros stay zero.

    Args:
        vectors: (N, D).
        name: Of the modality, for the message.

    Raises:
        DataError: A vector holds NaN or infinity.
    """
    exact = vectors.astype(np.float64)
    broken = np.flatnonzero(~np.isfinite(exact).all(1))
    if len(broken):
        raise DataError(
            f"{len(broken)} of {len(vectors)} vectors of modality {name!r} hold NaN or infinity, "
            f"the first that of item number {broken[0]}. Every number must be finite. Compute them "
            "anew, or leave these items without one."
        )
    length = np.linalg.norm(exact, axis=1, keepdims=True)
    return np.where(length > 0, exact / np.where(length > 0, length, 1.0), 0.0)


def item_features(
    text: npt.NDArray[np.float32],
    attributes: Sequence[Sequence[str]],
    vocabulary: Sequence[str],
    *,
    attribute_weight: float,
    modalities: Sequence[tuple[float, npt.NDArray[np.float32]]] = (),
) -> npt.NDArray[np.float32]:
    """Return (N, F) features whose inner products are the kernel of cold.py.

    ``<phi_i, phi_j> = cosine of the texts + sum over modalities m of weight_m * cosine of their
    centred vectors + attribute_weight * cosine of the attributes``. What an item lacks adds 0; a
    row of zeros means that nothing is known about it.

    Args:
        text: (N, T) unit vectors or zeros.
        attributes: N lists of tokens.
        vocabulary: The A tokens that count; F = T + D_1 + … + A.
        attribute_weight: Weight of the attributes beside the text.
        modalities: Weight and (N, D_m) vectors, as of ``Modality.prepare``, of each modality.

    Raises:
        DataError: A text vector holds NaN or infinity.
    """
    broken = np.flatnonzero(~np.isfinite(text).all(1))
    if len(broken):
        raise DataError(
            f"{len(broken)} of {len(text)} text vectors hold NaN or infinity, the first that of "
            f"item number {broken[0]}. Every vector must be finite. Check the encoder's weights "
            "(train.encoder.model) and remove its cached vectors (train.encoder.cache)."
        )
    place = {token: index for index, token in enumerate(vocabulary)}
    owned = np.zeros((len(text), len(vocabulary)), dtype=np.float32)
    for row, tokens in enumerate(attributes):
        owned[row, [place[token] for token in tokens if token in place]] = 1.0
    owned /= np.maximum(np.linalg.norm(owned, axis=1, keepdims=True), 1e-12)
    shown = [np.float32(weight**0.5) * vectors for weight, vectors in modalities]
    return np.concatenate([text, *shown, np.float32(attribute_weight**0.5) * owned], axis=1)
