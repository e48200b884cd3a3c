"""Features of an item: its text vector beside its weighted attributes.

Training, ``Recommender.extend`` and the live items inside Triton all use this one definition, so an
item scores the same before and after it is trained in. Standard library and numpy only.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from counterpoint.errors import DataError


def item_features(
    text: npt.NDArray[np.float32],
    attributes: Sequence[Sequence[str]],
    vocabulary: Sequence[str],
    *,
    attribute_weight: float,
) -> npt.NDArray[np.float32]:
    """Return (N, F) features whose inner products are the kernel of cold.py.

    ``<phi_i, phi_j> = cosine of the texts + attribute_weight * cosine of the attributes``. A row of
    zeros means that nothing is known about the item.

    Args:
        text: (N, T) unit vectors or zeros.
        attributes: N lists of tokens.
        vocabulary: The A tokens that count; F = T + A.
        attribute_weight: Weight of the attributes beside the text.

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
    return np.concatenate([text, np.float32(attribute_weight**0.5) * owned], axis=1)
