"""Stage ``evaluate``: model, baselines and champion on the same test users and candidates."""

import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from counterpoint import (
    artifacts,
    baseline_tuning,
    baselines,
    columns,
    evaluation_report,
    modalities,
    tables,
    vector_tables,
)
from counterpoint.catalogues import on_catalogue
from counterpoint.classification import Classification, classify, sample_pairs
from counterpoint.cold_start import warm_and_cold
from counterpoint.comparison import CHAMPION, MODEL, per_user_table, summarise
from counterpoint.config.evaluate import EvaluateConfig
from counterpoint.errors import DataError
from counterpoint.evaluation import Task, candidates, check, judge, prepare
from counterpoint.histories import Scorer
from counterpoint.progress import track
from counterpoint.recommender import Recommender
from counterpoint.reranker import blend
from counterpoint.text_vectors import text_vectors

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluateResult:
    """What the evaluation found.

    Attributes:
        evaluation: The content of ``evaluation.json``.
        classification: ROC curve and confusion matrix of the model, None if a class is absent.
    """

    evaluation: dict[str, Any]
    classification: Classification | None

    @property
    def figures(self) -> dict[str, float | int]:
        """Key figures: the model's metrics, and its advantage over each other method."""
        primary = self.evaluation["primary"]
        figures: dict[str, float | int] = {
            name.replace("@", "_at_"): value
            for name, value in self.evaluation["methods"][MODEL].items()
            if value is not None
        }
        figures["test_users"] = self.evaluation["users"]
        for other, metrics in self.evaluation["comparisons"].items():
            for bound in ("mean", "low", "high"):
                if metrics[primary][bound] is not None:
                    figures[f"{primary}_over_{other}_{bound}"] = metrics[primary][bound]
        cold = self.evaluation["cold_start"][MODEL]
        if cold and cold["warm_loss"]["relative"] is not None:
            figures["warm_loss"] = cold["warm_loss"]["relative"]
        if self.classification:
            figures["auc"] = self.classification.auc
        return figures

    @property
    def notes(self) -> str:
        """The comparison as a Markdown table."""
        return evaluation_report.markdown(self.evaluation)


def run(
    config: EvaluateConfig,
    *,
    features: Path,
    model: Path,
    evaluation: Path,
    champion: Path | None = None,
) -> EvaluateResult:
    """Judge a model and write ``per_user.parquet``, ``report.html`` and ``evaluation.json``.

    Args:
        config: Metrics, baselines and their options.
        features: Folder of the features stage; must hold a test fold.
        model: Folder of the candidate.
        evaluation: Output folder; ``evaluation.json`` is written last, in one step.
        champion: Folder of the model in service; it may know another catalogue.

    Raises:
        ConfigError: Unknown metric or baseline, wrong options.
        DataError: The features hold no test fold or no test user with a target.
        QualityError: A model returns NaN or scores of a wrong shape.
        SetupError: The champion's encoder cannot be had, but it must be extended by new items.
    """
    check(config)
    known = tables.read(features)
    if columns.FOLD not in known.interactions.columns:
        raise DataError(f"The interactions in {features} have no folds. Run the stage features.")
    candidate = Recommender.load(model)
    catalogue = candidates(candidate.item_ids, known)
    task = prepare(known.interactions, known.items, known.users, item_ids=catalogue)
    first = blend.served(model, candidate)
    scorers: dict[str, Scorer] = {MODEL: on_catalogue(first, candidate.item_ids, catalogue)}
    if champion is not None:
        served = Recommender.load(champion)
        if config.extend_champion:
            shown = modalities.readable(served.settings.modalities, vector_tables.read(features))
            served = served.extend(known.items, modalities=shown)
        second = blend.served(champion, served)
        scorers[CHAMPION] = on_catalogue(second, served.item_ids, catalogue)
    tuned = _fit_baselines(config, known, candidate, task)
    scorers |= {name: found.scorer for name, found in tuned.items()}
    judged = {
        name: judge(scorer, task, config)
        for name, scorer in track(scorers.items(), "Judge", total=len(scorers))
    }
    classification = classify(
        *sample_pairs(scorers[MODEL], task.histories, task.targets, seed=config.seed)
    )
    own = [name for name in (MODEL, CHAMPION) if name in scorers]
    content = summarise(judged, task, config) | {
        "cold_start": {
            name: warm_and_cold(scorers[name], judged[name], task, config) for name in own
        },
        "classification": asdict(classification) if classification else None,
        "baselines": {name: found.log() for name, found in tuned.items()},
        "config": config.model_dump(mode="json"),
        "features": _read_json(features / artifacts.FEATURES),
        "model": {name: v for name, v in candidate.report.items() if name != "tried"},
    }
    evaluation.mkdir(parents=True, exist_ok=True)
    per_user_table(judged, task).write_parquet(evaluation / artifacts.PER_USER)
    (evaluation / artifacts.REPORT).write_text(evaluation_report.page(content), "utf-8")
    tables.write_json(evaluation / f".{artifacts.EVALUATION}", content)
    os.replace(evaluation / f".{artifacts.EVALUATION}", evaluation / artifacts.EVALUATION)
    _log(content, task)
    return EvaluateResult(content, classification)


def _fit_baselines(
    config: EvaluateConfig, known: tables.Tables, candidate: Recommender, task: Task
) -> dict[str, baseline_tuning.Tuned]:
    """Tune on the validation fold, where there is one, with the text the candidate reads."""
    valid, text = None, None
    if config.tune_baselines != "none":
        try:
            valid = prepare(
                known.interactions, known.items, known.users, item_ids=task.item_ids, fold="valid"
            )
        except DataError as error:
            logger.info("The baselines keep their options: %s", error)
    if any(map(baselines.reads_text, config.baselines)):
        text = text_vectors(known.items, task.item_ids, candidate.settings.encoder)
    return baseline_tuning.fit_baselines(config, valid, task, text=text)


def _read_json(path: Path) -> Any:
    return tables.read_json(path) if path.is_file() else None


def _log(content: dict[str, Any], task: Task) -> None:
    primary = content["primary"]
    for method, values in content["methods"].items():
        value = values[primary]
        shown = "not computable" if value is None else f"{value:.4f}"
        logger.info("%s: %s@%d %s", method, primary, content["k"], shown)
    logger.info("Judged on %d users, %d targets", len(task.histories), task.targets.nnz)
