"""Tries variants of a model's item encoder, for the export and for a look beforehand."""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from counterpoint import artifacts, columns, encoder_export, tables
from counterpoint.compression import table, trial
from counterpoint.compression.build import Builder
from counterpoint.compression.form import Form
from counterpoint.compression.new_items import texts_of
from counterpoint.compression.trial import Trial
from counterpoint.compression.variants import UNCOMPRESSED, parse
from counterpoint.config.serve import ExportConfig
from counterpoint.encoder import TextEncoder
from counterpoint.errors import DataError
from counterpoint.feature_users import histories_of
from counterpoint.histories import Histories
from counterpoint.recommender import Recommender
from counterpoint.text import item_texts

logger = logging.getLogger(__name__)

ALL = (
    "fp16",
    "int8",
    "int8_blocks",
    "vocabulary",
    "vocabulary:16000",
    "vocabulary:16000+int8_blocks",
    "layers:5",
)
"""What is compared where nothing is asked for."""


def shrink(
    recommender: Recommender,
    encoder: TextEncoder,
    histories: Histories,
    items: pl.DataFrame,
    folder: Path,
    config: ExportConfig,
) -> dict[str, Any]:
    """Put the first accepted variant in the place of the exported encoder.

    Args:
        recommender: The model.
        encoder: Its encoder.
        histories: All users.
        items: Canonical items.
        folder: Exported ``item_encoder``; unchanged where no variant is accepted.
        config: Which variants, what they must keep.

    Returns:
        The content of compression.json.
    """
    names = config.compression.variants
    with TemporaryDirectory(prefix="counterpoint-") as scratch:
        tried = _trial(recommender, encoder, histories, items, folder, config, Path(scratch))
        judged = trial.first_accepted(tried, [parse(name) for name in names])
        served = UNCOMPRESSED
        if judged[-1].accepted:
            served = judged[-1].name
            trial.keep(judged[-1], folder)
        else:
            logger.info("No smaller form of the item encoder is accepted: fp32 is served")
    return table.plain(tried.whole, judged, untried=names[len(judged) :], served=served)


def compare(
    model: Path, features: Path, config: ExportConfig, variants: Sequence[str] = ()
) -> dict[str, Any]:
    """Judge variants without serving any.

    Args:
        model: Model folder.
        features: Features folder of its training.
        config: What they must keep; its variants count where none are given.
        variants: Names; none here and in the configuration: ``ALL``.

    Returns:
        As compression.json; ``served`` is what an export with these variants would serve.

    Raises:
        DataError: The model was trained without text, or a folder is damaged.
    """
    recommender = Recommender.load(model)
    if recommender.settings.encoder is None:
        raise DataError(
            f"{model} was trained without text (train.encoder.model is null): there is no item "
            "encoder to compress."
        )
    histories = histories_of(features, recommender)
    items = tables.conform(
        pl.read_parquet(features / artifacts.ITEMS), columns.ITEMS, table="items"
    )
    names = [parse(name) for name in variants or config.compression.variants or ALL]
    encoder = encoder_export.load(recommender.settings)
    with TemporaryDirectory(prefix="counterpoint-") as scratch:
        folder = Path(scratch) / artifacts.ITEM_ENCODER
        encoder_export.write(encoder, items, folder, config)
        tried = _trial(recommender, encoder, histories, items, folder, config, Path(scratch))
        judged = [tried.judge(variant) for variant in names]
    served = next((one.name for one in judged if one.accepted), UNCOMPRESSED)
    return table.plain(tried.whole, judged, served=served)


def _trial(
    recommender: Recommender,
    encoder: TextEncoder,
    histories: Histories,
    items: pl.DataFrame,
    folder: Path,
    config: ExportConfig,
    scratch: Path,
) -> Trial:
    write_graph = partial(encoder_export.write_graph, opset=config.opset)
    whole = Form(folder)
    return Trial(
        recommender,
        histories,
        texts_of(recommender, items, item_texts(items)),
        whole,
        Builder(encoder.module, whole, write_graph, scratch),
        config.compression,
    )
