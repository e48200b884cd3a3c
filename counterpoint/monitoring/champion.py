"""Takes the reference of a trained model from the folders of the stages."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from counterpoint import artifacts, tables
from counterpoint.comparison import MODEL
from counterpoint.monitoring import reference as stored
from counterpoint.monitoring import snapshot
from counterpoint.recommender import Recommender
from counterpoint.reranker import blend

logger = logging.getLogger(__name__)

TOLERANCE = 0.01
"""Largest difference between the evaluation's NDCG and the one measured here that is normal: ties
are broken by another seed, and items the model does not know are candidates only there."""


def write_reference(
    features: Path,
    model: Path,
    evaluation: Path | None,
    reference: Path,
    *,
    max_users: int = 20_000,
    k: int = 10,
    seed: int = 0,
) -> stored.Reference:
    """Write what the champion was trained and judged on, to compare later windows with.

    Args:
        features: Folder of the features stage.
        model: Folder of the model.
        evaluation: Folder of the evaluate stage; its k and primary metric are recorded.
        reference: Output folder; appears complete or not at all.
        max_users: Users sampled for the observations.
        k: Length of the lists without an evaluation.
        seed: Of the sample.

    Raises:
        DataError: An input is missing or the output folder is not empty.
    """
    champion = Recommender.load(model)
    judged = _judged(evaluation)
    taken = snapshot.build(
        tables.read(features),
        blend.served(model, champion),
        vectors=text_vectors(champion),
        max_users=max_users,
        k=int(judged["k"]) if judged else k,
        seed=seed,
    )
    taken.summary["evaluation"] = judged
    taken.summary["dataset"] = _dataset(features)
    quality = taken.summary["quality"]
    if judged and quality and judged["primary"] == f"ndcg@{judged['k']}":
        difference = abs(judged["value"] - quality["mean"])
        if difference > TOLERANCE:
            logger.warning(
                "The evaluation found NDCG@%d %.4f, the reference %.4f: were both made from the "
                "same features and model?",
                judged["k"],
                judged["value"],
                quality["mean"],
            )
    stored.save(taken, reference)
    return taken


def text_vectors(champion: Recommender) -> npt.NDArray[np.float32] | None:
    """(N, T) text vectors that a recommender keeps for its cold extension; none without text."""
    features = champion.module.cold.features.detach().cpu().numpy()
    width = features.shape[1] - len(champion.settings.item_vocabulary)
    return np.asarray(features[:, :width], dtype=np.float32) if width > 0 else None


def _judged(evaluation: Path | None) -> dict[str, Any] | None:
    if evaluation is None:
        return None
    content = tables.read_json(evaluation / artifacts.EVALUATION)
    primary = content["primary"]
    return {
        "k": content["k"],
        "primary": primary if "@" in primary else f"{primary}@{content['k']}",
        "value": content["methods"][MODEL][primary],
        "interval": content["intervals"][MODEL][primary],
        "users": content["users"],
    }


def _dataset(features: Path) -> str | None:
    for name in (artifacts.DATASET, artifacts.FEATURES):
        if (features / name).is_file():
            content = tables.read_json(features / name)
            found = content.get("name") or (content.get("dataset") or {}).get("name")
            if found:
                return str(found)
    return None
