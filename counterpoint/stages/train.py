"""Stage train: point-in-time examples in, a recommender with its curves and choices out."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from counterpoint import artifacts, columns, tables, training, vector_tables
from counterpoint.atomic import replaced_folder
from counterpoint.config.train import TrainConfig
from counterpoint.errors import DataError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainResult:
    """Key figures of the stage.

    Attributes:
        figures: Plain numbers: final loss, validation NDCG@10, steps, cost.
        choices: The settings taken.
        notes: The choices and why, for people.
    """

    figures: dict[str, float]
    choices: dict[str, Any]
    notes: str


def run(
    config: TrainConfig, *, features: Path, model: Path, workdir: Path | None = None
) -> TrainResult:
    """Train and write the model folder.

    A run that was killed continues from its last checkpoint when it is started again with equal
    features and settings.

    Args:
        config: Encoder, towers, objectives, linear part, fusion.
        features: Folder of the features stage.
        model: Folder to write; replaced as a whole when everything is complete.
        workdir: Folder of the checkpoints; none: ``config.fit.checkpoints``.

    Raises:
        DataError: A file of the features folder is missing, or the training diverged.
        SetupError: The encoder cannot be had.
    """
    frames = _read(features)
    described = features / artifacts.DATASET
    attributes = tables.read_json(described).get("attributes", {}) if described.is_file() else {}
    with replaced_folder(model) as folder:
        checkpoints = workdir or Path(config.fit.checkpoints)
        trained = training.fit_parts(
            frames[artifacts.INTERACTIONS],
            frames[artifacts.ITEMS],
            frames[artifacts.USERS],
            frames[artifacts.EXAMPLES],
            config,
            workdir=checkpoints,
            tensorboard=folder / artifacts.TENSORBOARD,
            attributes=attributes,
            vectors=vector_tables.read(features),
        )
        recommender = trained.recommender
        if config.reranker is not None:
            recommender.report["reranker"] = _rerank(trained, frames, config, folder, checkpoints)
        recommender.save(folder)
        tables.write_json(folder / artifacts.CURVES, recommender.report["curves"])
    return summarise(recommender.report)


def _rerank(
    trained: training.Trained,
    frames: dict[str, pl.DataFrame],
    config: TrainConfig,
    folder: Path,
    checkpoints: Path,
) -> dict[str, Any]:
    """Train a re-ranker and keep it where it is served; return its report."""
    # Heavy, and off by default.
    from counterpoint.reranker import fit

    assert config.reranker is not None
    reranker = fit.fit(
        trained,
        frames[artifacts.INTERACTIONS],
        frames[artifacts.EXAMPLES],
        config,
        workdir=checkpoints,
    ).reranker
    kept = bool(reranker.settings.weight) or config.reranker.keep == "always"
    if kept:
        reranker.save(folder / artifacts.RERANKER)
    else:
        logger.info("The re-ranker is not kept: on validation it is not clearly better")
    return reranker.report | {"kept": kept}


def summarise(report: dict[str, Any]) -> TrainResult:
    """Pick the key figures of a training report."""
    final, validation = report["final"], report["validation"]
    figures = {
        "items": report["n_items"],
        "steps": final["steps"],
        "final_loss": final["loss"],
        "valid_ndcg": validation["ndcg@10"],
        "valid_users": validation["users"],
        "towers_cpu_seconds": final["cpu_seconds"],
        "fit_cpu_seconds": report["cpu_seconds"],
        "peak_rss_mb": report["peak_rss_mb"],
        "tower_weight": report["choices"]["tower"],
        "choose_cpu_seconds": report["choose_cpu_seconds"],
    }
    choices = ", ".join(f"{name} {value}" for name, value in report["choices"].items())
    reranker = report.get("reranker")
    if reranker is not None:
        figures["reranker_weight"] = reranker["weight"]
        choices += f", reranker {reranker['weight']}" + ("" if reranker["kept"] else " (not kept)")
    notes = f"Settings ({validation['why']}): {choices}."
    encoder = report.get("encoder", {})
    if encoder:
        figures |= {
            "encoder_frozen_ndcg": encoder.get("frozen_ndcg@10"),
            "encoder_trained_ndcg": encoder.get("tuned_ndcg@10"),
            "encoder_cpu_seconds": encoder.get("cpu_seconds"),
        }
        if "pretraining" in encoder:
            after = encoder["pretraining"]["after"]
            figures |= {
                "pretrained_token_accuracy": after["token_accuracy"],
                "pretrained_item_hit@10": after["item_hit10"],
            }
        notes += f" Text encoder: {encoder['why']}."
    return TrainResult(
        {name: value for name, value in figures.items() if value is not None},
        report["choices"],
        notes,
    )


def _read(features: Path) -> dict[str, pl.DataFrame]:
    names = (artifacts.INTERACTIONS, artifacts.ITEMS, artifacts.USERS, artifacts.EXAMPLES)
    missing = [name for name in names if not (features / name).is_file()]
    if missing:
        raise DataError(
            f"{features} lacks {', '.join(missing)}. A features folder holds {', '.join(names)}. "
            "Run the features stage first."
        )
    frames = {name: pl.read_parquet(features / name) for name in names}
    if columns.FOLD not in frames[artifacts.INTERACTIONS].columns:
        raise DataError(
            f"{features / artifacts.INTERACTIONS} lacks the column {columns.FOLD!r}, which the "
            "features stage adds. Run it again."
        )
    return frames
