"""The features of a new item under one loaded version.

Runs inside Triton: standard library and numpy.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from counterpoint.item_features import Modality, item_features
from counterpoint.live_items import LiveItem

logger = logging.getLogger(__name__)


class LiveFeatures:
    """Makes the features that the version's ``taste`` scores.

    Args:
        contract: contract.json of the version, format 3.
    """

    def __init__(self, contract: Mapping[str, Any]) -> None:
        self._vocabulary: Sequence[str] = contract["item_vocabulary"]
        self._weight = float(contract["attribute_weight"])
        self.text_width = int(contract["text_width"])
        self._modalities = [Modality.of(given) for given in contract.get("modalities", ())]
        shown = sum(modality.width for modality in self._modalities)
        self.width = self.text_width + shown + len(self._vocabulary)

    def of(
        self, item: LiveItem, tokens: Sequence[str], vector: bytes | None
    ) -> npt.NDArray[np.float32]:
        """Return the (F,) features of an item.

        Args:
            item: As it was given; its vectors of modalities the version does not read are left out.
            tokens: Its attributes under the version's specification.
            vector: Its text vector, little-endian float32; none: it has no text.
        """
        text = np.zeros((1, self.text_width), dtype=np.float32)
        if vector is not None:
            text[0] = np.frombuffer(vector, dtype="<f4")
        given = dict(item.vectors)
        return item_features(
            text,
            [tokens],
            self._vocabulary,
            attribute_weight=self._weight,
            modalities=[
                (modality.weight, _prepared(modality, item, given.get(modality.name)))
                for modality in self._modalities
            ],
        )[0]


def _prepared(modality: Modality, item: LiveItem, content: bytes | None) -> npt.NDArray[np.float32]:
    numbers = np.zeros((1, modality.width), dtype=np.float32)
    if content is not None and len(content) == 4 * modality.width:
        numbers[0] = np.frombuffer(content, dtype="<f4")
    elif content is not None:
        # It was checked against another version.
        logger.warning(
            "The vector %r of live item %r is left out: it has %d numbers, this version reads %d",
            modality.name,
            item.item_id,
            len(content) // 4,
            modality.width,
        )
    return modality.prepare(numbers)
