"""Stage features: order events, assign folds, draw examples and join them with their features."""

import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from counterpoint import (
    artifacts,
    columns,
    examples,
    splits,
    tables,
    vector_tables,
    withheld_items,
)
from counterpoint.config import FeaturesConfig
from counterpoint.errors import DataError
from counterpoint.histories import order_events
from counterpoint.point_in_time import FeatureSource
from counterpoint.progress import track
from counterpoint.tables import Tables

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FeaturesResult:
    """Key figures of the stage.

    Attributes:
        interactions: Number of events.
        items: Number of items, known from the items table or the events.
        users: Number of users, known from the users table or the events.
        folds: Fold -> number of events.
        examples: Fit -> number of examples.
        mean_history: Mean length of the examples' histories.
        empty_histories: Number of examples without any earlier event.
        source: What names the feature source and its version.
    """

    interactions: int
    items: int
    users: int
    folds: dict[str, int]
    examples: dict[str, int]
    mean_history: float
    empty_histories: int
    source: dict[str, Any]

    @property
    def figures(self) -> dict[str, float | int]:
        """Key figures as plain numbers."""
        return {
            "interactions": self.interactions,
            "items": self.items,
            "users": self.users,
            "examples": sum(self.examples.values()),
            "mean_history": self.mean_history,
            "empty_histories": self.empty_histories,
            **{f"events_{fold}": count for fold, count in self.folds.items()},
        }


def run(
    config: FeaturesConfig,
    *,
    validated: Path,
    features: Path,
    open_source: Callable[[Tables], FeatureSource],
) -> FeaturesResult:
    """Turn validated tables into folds and training examples.

    Args:
        config: Split, history length, number of examples.
        validated: Folder of canonical tables.
        features: Folder to write; replaced as a whole when everything is complete.
        open_source: Makes the feature source of the ordered tables: the feature store, or
            ``PlainFeatures``.

    Raises:
        DataError: A table is missing, a fold would be empty, or the source broke its contract.
    """
    read = tables.read(validated)
    ordered = order_events(read.interactions, seed=config.split.seed)
    folded = splits.assign(ordered, config.split)
    source = open_source(
        Tables(withheld_items.visible(folded).select(ordered.columns), read.items, read.users)
    )

    partial = features.with_name(f".{features.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    items = _profiles(source.item_profiles, columns.ITEM, read.items, folded)
    users = _profiles(source.user_profiles, columns.USER, read.users, folded)
    folded.write_parquet(partial / artifacts.INTERACTIONS)
    items.write_parquet(partial / artifacts.ITEMS)
    users.write_parquet(partial / artifacts.USERS)
    vector_tables.copy(validated, partial)

    cuts = examples.draw_all(folded, config)
    total, empty = _write_examples(cuts, folded, source, partial / artifacts.EXAMPLES)
    result = FeaturesResult(
        interactions=len(folded),
        items=len(items),
        users=len(users),
        folds=_count(folded, columns.FOLD),
        examples=_count(cuts, columns.FIT),
        mean_history=round(total / max(1, len(cuts)), 3),
        empty_histories=empty,
        source=source.describe(),
    )
    tables.write_json(partial / artifacts.FEATURES, _document(result, folded, config, validated))
    if (validated / artifacts.DATASET).is_file():
        shutil.copyfile(validated / artifacts.DATASET, partial / artifacts.DATASET)
    shutil.rmtree(features, ignore_errors=True)
    os.replace(partial, features)
    logger.info("features: %d examples of %d events", len(cuts), len(folded))
    return result


def _write_examples(
    cuts: pl.DataFrame, folded: pl.DataFrame, source: FeatureSource, path: Path
) -> tuple[int, int]:
    """Join and write the examples chunk by chunk; return history entries and empty histories."""
    entries = empty = 0
    oldest = pl.CompatLevel.oldest()
    schema = columns.EXAMPLES.to_frame().to_arrow(compat_level=oldest).schema
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        chunks = list(examples.chunks(cuts, folded))
        for chunk in track(chunks, "Join examples point in time"):
            joined = examples.attach(chunk, source)
            lengths = joined[columns.HISTORY].list.len()
            entries += int(lengths.sum())
            empty += int((lengths == 0).sum())
            writer.write_table(joined.to_arrow(compat_level=oldest).cast(schema))
    return entries, empty


def _profiles(
    profiles: Callable[[pl.Series], pl.DataFrame],
    key: str,
    known: pl.DataFrame,
    folded: pl.DataFrame,
) -> pl.DataFrame:
    """Profiles of every id of the table and of the events, sorted by id."""
    ids = pl.concat([known[key], folded[key]]).unique().sort()
    found = profiles(ids).sort(key)
    if not found[key].equals(ids):
        raise DataError(
            f"The feature source returned {len(found)} profiles ({found[key].n_unique()} distinct) "
            f"for {len(ids)} values of {key}; exactly one each is allowed. Look for repeated ids "
            "in the validated tables, then delete the folder features.state and run the stage "
            "again."
        )
    return found


def _count(frame: pl.DataFrame, column: str) -> dict[str, int]:
    counts = frame.group_by(column).len().sort(column)
    return dict(zip(counts[column].to_list(), counts["len"].to_list(), strict=True))


def _document(
    result: FeaturesResult, folded: pl.DataFrame, config: FeaturesConfig, validated: Path
) -> dict[str, Any]:
    """Content of features.json."""
    bounds = (
        folded.group_by(columns.FOLD)
        .agg(
            pl.col(columns.TIMESTAMP).min().alias("first"),
            pl.col(columns.TIMESTAMP).max().alias("last"),
            pl.len().alias("events"),
            pl.col(columns.POSITIVE).sum().alias("positives"),
            pl.col(columns.USER).n_unique().alias("users"),
        )
        .sort("first")
    )
    dataset = validated / artifacts.DATASET
    described = tables.read_json(dataset) if dataset.is_file() else {}
    return {
        **asdict(result),
        "config": config.model_dump(mode="json"),
        "dataset": {name: described.get(name) for name in ("name", "content_sha256")},
        "split": bounds.to_dicts(),
    }
