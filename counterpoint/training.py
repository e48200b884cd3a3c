"""From tables to a recommender: choose the settings on validation, then fit on everything."""

import hashlib
import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from counterpoint import chosen_objectives, columns, fitting, prior, selection, trainer
from counterpoint.choices import CONFIGURED, Choices
from counterpoint.config.train import TrainConfig
from counterpoint.fitting import Fold
from counterpoint.isolation import peak_rss_mb
from counterpoint.item_catalogue import ItemCatalogue, describe
from counterpoint.modalities import Frames
from counterpoint.model_folder import FactorSettings
from counterpoint.recommender import KEPT, Recommender, Settings
from counterpoint.tower_scorer import TowerScorer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """A recommender and what it was made of, for what is trained on top of it.

    Attributes:
        recommender: The result.
        choices: The settings taken.
        catalogue: All items.
        profiles: user id -> attribute tokens.
        tokens: Profile vocabulary.
    """

    recommender: Recommender
    choices: Choices
    catalogue: ItemCatalogue
    profiles: dict[str, Sequence[str]]
    tokens: list[str]


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
    vectors: Frames | None = None,
) -> Recommender:
    """Train a recommender; see ``fit_parts``."""
    return fit_parts(
        interactions,
        items,
        users,
        examples,
        config,
        workdir=workdir,
        tensorboard=tensorboard,
        attributes=attributes,
        vectors=vectors,
    ).recommender


def fit_parts(
    interactions: pl.DataFrame,
    items: pl.DataFrame,
    users: pl.DataFrame,
    examples: pl.DataFrame,
    config: TrainConfig,
    *,
    workdir: Path,
    tensorboard: Path | None = None,
    attributes: dict[str, Any] | None = None,
    vectors: Frames | None = None,
) -> Trained:
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
        vectors: Precomputed vectors of the items by modality.

    Raises:
        ConfigError: An objective, one of its options or a modality is unknown.
        DataError: There is no item at all, vectors of one modality do not fit together, or the loss
            diverged.
    """
    chosen_objectives.load(config)
    with trainer.limited_threads(config.fit.threads):
        started, cpu = time.monotonic(), time.process_time()
        catalogue = describe(interactions, items, config, vectors, workdir=workdir, users=users)
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

        def train_tower(
            fold: Fold, variant: str, drawn: pl.DataFrame
        ) -> tuple[TowerScorer, trainer.TrainingResult]:
            name = fold.name if variant == CONFIGURED else f"{fold.name}-{variant}"
            scorer, result = fitting.fit_towers(
                fold,
                drawn.filter(pl.col(columns.FIT) == fold.name),
                catalogue,
                fitting.tower_config(config, variant),
                checkpoint=checkpoints / name,
                tensorboard=tensorboard and tensorboard / name,
            )
            report["curves"][name] = asdict(result.curves)
            report[name] = {
                "steps": result.steps,
                "resumed_at": result.resumed_at,
                "cpu_seconds": round(result.cpu_seconds, 2),
                "loss": float(np.mean(result.curves.total[-10:])) if result.steps else None,
            }
            return scorer, result

        found = selection.choose(
            interactions, examples, catalogue, profiles, tokens, config, train_tower
        )
        choices = found.choices
        report["validation"] = {
            "ndcg@10": found.ndcg,
            "start_ndcg@10": found.start_ndcg,
            "users": found.users,
            "why": found.why,
        }
        report["tried"], report["skipped"] = found.tried, found.skipped
        if found.silent:
            catalogue = catalogue.silencing(found.silent)
        report["choose_cpu_seconds"] = round(time.process_time() - cpu, 2)

        final = fitting.prepare(interactions, catalogue, profiles, "final", config)
        tower, result = train_tower(final, choices.tower_variant, examples)
        report["final"] = report.pop(_run_name(choices))
        if not result.steps:
            choices = replace(choices, tower=0.0)
        report["choices"] = choices.report()
        if catalogue.contents:
            speak = {c.modality.name: c.modality.weight for c in catalogue.contents}
            report["choices"]["modalities of new items"] = speak
        module = fitting.assemble(final, catalogue, tower, choices, tokens, config)
        shutil.rmtree(checkpoints, ignore_errors=True)
        report["cpu_seconds"] = round(time.process_time() - cpu, 2)
        if catalogue.encoder_report:
            report["encoder"] = dict(catalogue.encoder_report)
            before = report["encoder"].get("pretraining")
            if before:
                report["encoder"]["pretraining"] = {
                    k: v for k, v in before.items() if k != "curves"
                }
                report["curves"]["encoder-pretraining"] = before["curves"]
            curves = report["encoder"].pop("curves", None)
            if curves:
                report["curves"]["encoder"] = {"total": curves.pop("loss"), "terms": {}, **curves}
        report["final_cpu_seconds"] = round(report["cpu_seconds"] - report["choose_cpu_seconds"], 2)
        report["seconds"] = round(time.monotonic() - started, 2)
        report["peak_rss_mb"] = round(peak_rss_mb(), 1)
        has_factors = module.factors is not None
        recommender = Recommender(
            module,
            catalogue.items.select(KEPT),
            Settings(
                dim=config.tower.dim,
                pools=config.tower.pools,
                linears=tuple(part.weighting for part, _ in choices.linears),
                factors=FactorSettings(config.factors.confidence, config.factors.l2)
                if has_factors
                else None,
                boost=choices.boost,
                fusion=choices.fusion(),
                profile=tuple(tokens),
                item_vocabulary=tuple(catalogue.vocabulary),
                attribute_weight=config.cold.attribute_weight,
                history_length=config.fit.history_length,
                encoder=catalogue.encoder,
                encoder_sha256=catalogue.encoder_sha256,
                encoder_trained=catalogue.encoder_trained,
                attributes=attributes or {},
                modalities=tuple(content.modality for content in catalogue.contents),
            ),
            report,
        )
        return Trained(recommender, choices, catalogue, profiles, tokens)


def _run_name(choices: Choices) -> str:
    """Name of the final training run in the report."""
    return "final" if choices.tower_variant == CONFIGURED else f"final-{choices.tower_variant}"


def _key(config: TrainConfig, catalogue: ItemCatalogue, examples: pl.DataFrame) -> str:
    """Identify data and settings: a checkpoint of anything else is not resumed."""
    digest = hashlib.sha256(config.model_dump_json().encode())
    digest.update("\n".join(catalogue.items[columns.ITEM]).encode())
    digest.update(catalogue.text.tobytes())
    for content in catalogue.contents:
        digest.update(content.vectors.tobytes())
    digest.update(examples.hash_rows(seed=0).to_numpy().tobytes())
    return digest.hexdigest()[:16]
