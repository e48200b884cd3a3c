"""Text vectors of a catalogue, for the methods that read text outside the model."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from counterpoint import columns
from counterpoint.config.train import EncoderConfig
from counterpoint.text import item_texts


def text_vectors(
    items: pl.DataFrame, item_ids: Sequence[str], config: EncoderConfig | None
) -> npt.NDArray[np.float32]:
    """Encode the items' texts, or look them up in the cache that the model's training filled.

    Args:
        items: Canonical items; of rows with one id the first counts.
        item_ids: The N items, in index order; one without a row has no text.
        config: The encoder; None or ``model: null`` means no text.

    Returns:
        (N, T) unit vectors, zero where an item has no text; T is 0 without an encoder or texts.
    """
    rows = pl.DataFrame({columns.ITEM: list(item_ids)}, schema={columns.ITEM: pl.String}).join(
        items.unique(columns.ITEM, keep="first", maintain_order=True),
        on=columns.ITEM,
        how="left",
        maintain_order="left",
    )
    texts = item_texts(rows)
    if config is None or config.model is None or not any(texts):
        return np.zeros((len(rows), 0), dtype=np.float32)
    # Heavy, and not needed for data without text.
    from counterpoint.encoder import TextEncoder

    return TextEncoder(config).encode(texts)
