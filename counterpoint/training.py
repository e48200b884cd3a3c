"""From tables to a recommender: choose the settings on validation, then fit on everything."""

import hashlib
import logging
import resource
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from counterpoint import columns, fitting, prior, splits, trainer
from counterpoint.choices import Search, fallback, search
from counterpoint.config.train import TrainConfig
from counterpoint.errors import DataError
from counterpoint.fitting import Fold
from counterpoint.graph import TowerScorer
from counterpoint.item_catalogue import ItemCatalogue, describe
from counterpoint.recommender import KEPT, Recommender, Settings

logger = logging.getLogger(__name__)


def fit(
    interactions: pl.DataFrame,
    items: pl.DataFrame,
    users: pl.DataFrame,
    examples: pl.DataFrame,
    config: TrainConfig,
    *,
    workdir: Path,
    tensorboard: Path | None = None,
    attributes: dict[str, Any] | None = None,
) -> Recommender:
    """Train a recommender.

    First everything is fitted on the train fold and the settings are chosen on the validation fold;
    then it is fitted anew, with these settings, on both. Without validation targets, or with too
    few, the fallback settings are used.

    Args:
        interactions: Ordered interactions with ``fold``; the test folds are not looked at.
        items: Canonical items; may lack items that occur in the interactions, or be empty.
        users: Canonical users; may be empty.
        examples: columns.EXAMPLES of both fits.
        config: Everything else.
        workdir: Folder of the checkpoints: a second call with equal data and settings continues
            where a killed one was. Removed again when the fit is complete.
        tensorboard: Folder of the event files.
        attributes: How raw attributes become tokens, kept for serving.

    Raises:
        ConfigError: An objective or one of its options is unknown.
        DataError: There is no item at all, or the loss diverged.
    """
    fitting.objective_plugins(config)
    with trainer.limited_threads(config.fit.threads):
        started, cpu = time.monotonic(), time.process_time()
        catalogue = describe(interactions, items, config)
        profiles: dict[str, Sequence[str]] = {
            row[columns.USER]: list(row[columns.ATTRIBUTES] or ())
            for row in users.iter_rows(named=True)
        }
        tokens = prior.vocabulary(
            profiles.values(),
            min_users=config.prior.min_users,
            max_tokens=config.prior.max_attributes,
        )
        checkpoints = workdir / _key(config, catalogue, examples)
        report: dict[str, Any] = {"seed": config.seed, "n_items": len(catalogue), "curves": {}}

        def fold_of(name: splits.Fit) -> Fold:
            return fitting.prepare(interactions, catalogue, profiles, name, config)

        def train_towers(fold: Fold) -> tuple[TowerScorer, trainer.TrainingResult]:
            scorer, result = fitting.fit_towers(
                fold,
                examples.filter(pl.col(columns.FIT) == fold.name),
                catalogue,
                config,
                checkpoint=checkpoints / fold.name,
                tensorboard=tensorboard and tensorboard / fold.name,
            )
            report["curves"][fold.name] = asdict(result.curves)
            report[fold.name] = {
                "steps": result.steps,
                "resumed_at": result.resumed_at,
                "cpu_seconds": round(result.cpu_seconds, 2),
                "loss": float(np.mean(result.curves.total[-10:])) if result.steps else None,
            }
            return scorer, result

        found = _choose(interactions, catalogue, profiles, tokens, config, fold_of, train_towers)
        report["validation"] = {"ndcg@10": found.ndcg, "users": found.users, "why": found.why}
        report["choices"] = asdict(found.choices)
        report["tried"] = found.tried

        final = fold_of("final")
        tower, result = train_towers(final)
        choices = found.choices
        if not result.steps:
            choices = replace(choices, tower=0.0)
        module = fitting.assemble(final, catalogue, tower, choices, tokens, config)
        shutil.rmtree(checkpoints, ignore_errors=True)
        report["cpu_seconds"] = round(time.process_time() - cpu, 2)
        report["seconds"] = round(time.monotonic() - started, 2)
        report["peak_rss_mb"] = round(peak_rss_mb(), 1)
        return Recommender(
            module,
            catalogue.items.select(KEPT),
            Settings(
                dim=config.tower.dim,
                pools=config.tower.pools,
                recency=choices.recency,
                decay=config.linear.decay,
                boost=config.cold.boost,
                fusion=choices.fusion(),
                profile=tuple(tokens),
                item_vocabulary=tuple(catalogue.vocabulary),
                attribute_weight=config.cold.attribute_weight,
                history_length=config.fit.history_length,
                encoder=config.encoder if catalogue.encoder_sha256 else None,
                encoder_sha256=catalogue.encoder_sha256,
                attributes=attributes or {},
            ),
            report,
        )


def _choose(
    interactions: pl.DataFrame,
    catalogue: ItemCatalogue,
    profiles: dict[str, Sequence[str]],
    tokens: list[str],
    config: TrainConfig,
    fold_of: Callable[[splits.Fit], Fold],
    train_towers: Callable[[Fold], tuple[TowerScorer, trainer.TrainingResult]],
) -> Search:
    """Fit everything on the train fold and choose on the validation fold."""
    start = fallback(config, has_tower=True, has_text=catalogue.text.shape[1] > 0)
    try:
        histories, wanted = splits.fold_histories(
            interactions, "valid", catalogue.index, attributes=profiles
        )
        users = len(histories)
    except DataError:
        users = 0
    if users < max(1, config.fusion.min_valid_users):
        why = (
            f"{users} users with unseen positives in the validation fold are fewer than "
            f"{config.fusion.min_valid_users}: the fallback settings are used"
        )
        logger.info("No choice on validation: %s", why)
        return Search(start, None, users, [], why)
    fold = fold_of("choose")
    tower, result = train_towers(fold)
    if not result.steps:
        start = replace(start, tower=0.0)
    n_items = len(catalogue)
    text_weights = config.linear.text_weights if catalogue.text.shape[1] else (0.0,)
    return search(
        histories,
        wanted,
        fold.warm,
        tower,
        {w: fitting.fit_linear(fold, n_items, w, 0.0, config) for w in text_weights},
        {
            half_life: fitting.fit_prior(fold, n_items, tokens, half_life, config)
            for half_life in config.prior.half_lives
        },
        tokens,
        start,
        config,
    )


def _key(config: TrainConfig, catalogue: ItemCatalogue, examples: pl.DataFrame) -> str:
    """Identify data and settings: a checkpoint of anything else is not resumed."""
    digest = hashlib.sha256(config.model_dump_json().encode())
    digest.update("\n".join(catalogue.items[columns.ITEM]).encode())
    digest.update(catalogue.text.tobytes())
    digest.update(examples.hash_rows(seed=0).to_numpy().tobytes())
    return digest.hexdigest()[:16]


def peak_rss_mb() -> float:
    """Peak resident memory of this process in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024.0 if sys.platform != "darwin" else 1024.0**2)
