"""All items of a training run with what is known about them."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from counterpoint import columns, modalities, tables
from counterpoint.cold import attribute_vocabulary, item_features
from counterpoint.config.train import EncoderConfig, TrainConfig
from counterpoint.errors import DataError
from counterpoint.modalities import Content
from counterpoint.text import item_texts

if TYPE_CHECKING:
    from counterpoint.text_stage import Obtained

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ItemCatalogue:
    """All items, known by a table or by an interaction, with what is known about them.

    Attributes:
        items: (N,) canonical rows in index order.
        index: item id -> index.
        text: (N, T) unit text vectors, zero where there is no text; T may be 0.
        vocabulary: Item attribute tokens of the cold features.
        features: (N, F) of cold.py.
        encoder: The encoder that made them, if there is one; a trained one is a local folder.
        encoder_sha256: Its weights.
        encoder_trained: It is one that was trained for this catalogue.
        encoder_report: How it was trained; empty: it was not.
        contents: The modalities and their vectors, in the order of the features.
    """

    items: pl.DataFrame
    index: dict[str, int]
    text: npt.NDArray[np.float32]
    vocabulary: list[str]
    features: npt.NDArray[np.float32]
    encoder: EncoderConfig | None
    encoder_sha256: str | None
    encoder_trained: bool
    encoder_report: dict[str, Any]
    contents: Sequence[Content] = ()

    def __len__(self) -> int:
        return len(self.items)

    def silencing(self, names: Collection[str]) -> "ItemCatalogue":
        """Return the catalogue with modalities that say nothing of new items: of weight 0."""
        features, contents = self.features.copy(), []
        start = self.text.shape[1]
        for content in self.contents:
            modality, end = content.modality, start + content.modality.width
            if modality.name in names:
                features[:, start:end] = 0.0
                modality = replace(modality, weight=0.0)
            contents.append(replace(content, modality=modality))
            start = end
        return replace(self, features=features, contents=contents)


def list_items(interactions: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Return (N,) canonical rows of all items of both tables, in index order.

    Args:
        interactions: Canonical interactions.
        items: Canonical items; of rows with one id the first counts.

    Raises:
        DataError: There is no item at all.
    """
    known = tables.conform(items, columns.ITEMS, table="items").unique(
        columns.ITEM, keep="first", maintain_order=True
    )
    only_met = (
        interactions.select(columns.ITEM).unique().join(known, on=columns.ITEM, how="anti")
    ).sort(columns.ITEM)
    rows = pl.concat([known, tables.conform(only_met, columns.ITEMS, table="items")])
    if rows.is_empty():
        raise DataError(
            "There are no items: the items and interactions tables are both empty. At least one "
            "interaction is needed. Check what ingest and validation left of the data."
        )
    return rows


def describe(
    interactions: pl.DataFrame,
    items: pl.DataFrame,
    config: TrainConfig,
    vectors: modalities.Frames | None = None,
    *,
    workdir: Path | None = None,
    users: pl.DataFrame | None = None,
) -> ItemCatalogue:
    """Collect the items of both tables and encode their text.

    Args:
        interactions: Canonical interactions; with ``fold`` where the encoder is to be trained.
        items: Canonical items; of rows with one id the first counts.
        config: Encoder and cold settings.
        vectors: Of the modalities.
        workdir: Folder of the checkpoints of the encoder's training; none: ``fit.checkpoints``.
        users: Canonical users, where the encoder is to be trained on histories as text.

    Raises:
        ConfigError: A setting names a modality that the data do not have.
        DataError: There is no item at all, or vectors of one modality do not fit together.
    """
    rows = list_items(interactions, items)
    texts = item_texts(rows)
    text = np.zeros((len(rows), 0), dtype=np.float32)
    encoder: Obtained | None = None
    if config.encoder.model is None:
        logger.info("Training without text: train.encoder.model is null")
    elif not any(texts):
        logger.info("Training without text: no item has a title, attributes or a description")
    else:
        # Heavy, and not needed for data without text.
        from counterpoint import text_stage

        folder = workdir or Path(config.fit.checkpoints)
        encoder = text_stage.obtain(rows, texts, interactions, config, workdir=folder, users=users)
        text = encoder.encoder.encode(texts)
    tokens = [list(found or ()) for found in rows[columns.ATTRIBUTES].to_list()]
    vocabulary = attribute_vocabulary(tokens, max_tokens=config.cold.max_attributes)
    contents = modalities.learn(vectors or {}, rows[columns.ITEM].to_list(), config)
    shown = [(content.modality.weight, content.vectors) for content in contents]
    return ItemCatalogue(
        rows,
        {item: place for place, item in enumerate(rows[columns.ITEM])},
        text,
        vocabulary,
        item_features(text, tokens, vocabulary, config.cold, shown),
        encoder.encoder.config if encoder else None,
        encoder.encoder.weights_sha256 if encoder else None,
        bool(encoder and encoder.trained),
        encoder.report if encoder else {},
        contents,
    )
