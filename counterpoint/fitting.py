"""The parts of a recommender, each fitted on the events of one fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp
import torch

from counterpoint import chosen_objectives, columns, ials, prior, splits, towers, trainer
from counterpoint.batches import read_examples
from counterpoint.choices import CONFIGURED, Choices, LinearPart
from counterpoint.cold import ColdExtension, ridge_map
from counterpoint.config.train import TrainConfig
from counterpoint.factors import FactorScorer
from counterpoint.graph import RecommenderModule
from counterpoint.histories import Histories, from_events
from counterpoint.item_catalogue import ItemCatalogue
from counterpoint.landmarks import landmarks_of
from counterpoint.linear import Gram, LinearScorer, gram, solve
from counterpoint.objectives._objective import ObjectiveContext
from counterpoint.prior import PriorScorer
from counterpoint.propagation import item_graph
from counterpoint.start_page import diversified
from counterpoint.tower_scorer import TowerScorer

ITEM_CHUNK = 8192
"""Item vectors computed at once when a fit is finished."""


@dataclass(frozen=True)
class Fold:
    """What one fit learns from.

    Attributes:
        name: ``choose`` or ``final``.
        train: Histories of the users in the fit's events.
        liked: (U, N) positives, each pair once.
        popularity: (N,) users who liked each item.
        gram: Statistics of the linear part.
    """

    name: splits.Fit
    train: Histories
    liked: sp.csr_matrix
    popularity: npt.NDArray[np.float32]
    gram: Gram

    @property
    def warm(self) -> npt.NDArray[np.bool_]:
        """(N,) items with a positive interaction."""
        return self.popularity > 0


def prepare(
    interactions: pl.DataFrame,
    catalogue: ItemCatalogue,
    profiles: Mapping[str, Sequence[str]],
    name: splits.Fit,
    config: TrainConfig,
) -> Fold:
    """Gather what one fit may learn from.

    Args:
        interactions: Ordered interactions with ``fold``.
        catalogue: All items.
        profiles: user id -> attribute tokens.
        name: Which fit.
        config: Bounds of the linear part.
    """
    events = splits.fit_events(interactions, name)
    user_ids = events[columns.USER].unique().sort().to_list()
    train = from_events(events, catalogue.index, user_ids=user_ids, attributes=dict(profiles))
    liked = train.matrix(len(catalogue), positive_only=True)
    popularity = np.asarray(liked.sum(0), dtype=np.float32).ravel()
    return Fold(
        name,
        train,
        liked,
        popularity,
        gram(liked, catalogue.text, train, max_items=config.linear.max_items),
    )


def fit_linear(fold: Fold, part: LinearPart, config: TrainConfig) -> LinearScorer:
    """Solve a linear part."""
    return LinearScorer(
        torch.from_numpy(fold.gram.items),
        torch.from_numpy(solve(fold.gram, part.form, row_top=config.linear.row_top)),
        n_items=fold.liked.shape[1],
        weighting=part.weighting,
    )


def fit_factors(fold: Fold, config: TrainConfig) -> FactorScorer:
    """Factorise the positives."""
    found = ials.factorise(
        fold.liked,
        factors=config.factors.dim,
        confidence=config.factors.confidence,
        l2=config.factors.l2,
        iterations=config.factors.iterations,
        seed=config.seed,
    )
    return FactorScorer(
        torch.from_numpy(np.array(found.item_factors)),
        confidence=config.factors.confidence,
        l2=config.factors.l2,
    )


def tower_config(config: TrainConfig, variant: str) -> TrainConfig:
    """Return the configuration of a tower variant.

    Raises:
        KeyError: train.choices.towers has no such name.
    """
    if variant == CONFIGURED:
        return config
    other = config.choices.towers[variant]
    fit = config.fit.model_copy(
        update={
            "epochs": max(1, round(config.fit.epochs * other.steps)),
            "min_steps": max(1, round(config.fit.min_steps * other.steps)),
        }
    )
    gate = config.tower.text_gate if other.text_gate is None else other.text_gate
    gates: dict[str, Any] = {"text_gate": gate}
    if other.modality_gate is not None:
        gates |= {"modality_gate": other.modality_gate, "modality_gates": {}}
    tower = config.tower.model_copy(update=gates)
    return config.model_copy(update={"fit": fit, "tower": tower})


def fit_prior(
    fold: Fold,
    features: npt.NDArray[np.float32],
    tokens: list[str],
    half_life_days: float | None,
    config: TrainConfig,
) -> PriorScorer:
    """Count popularity and attribute shares; arrange the start page."""
    found = prior.fit(
        fold.train,
        len(features),
        tokens=tokens,
        half_life_days=half_life_days,
        shrinkage=config.prior.shrinkage,
    )
    base = diversified(found.base, features, strength=config.prior.diversity)
    return PriorScorer(torch.from_numpy(base), torch.from_numpy(found.shift))


def fit_towers(
    fold: Fold,
    examples: pl.DataFrame,
    catalogue: ItemCatalogue,
    config: TrainConfig,
    *,
    checkpoint: Path | None,
    tensorboard: Path | None,
) -> tuple[TowerScorer, trainer.TrainingResult]:
    """Train the towers and compute all item vectors once.

    Args:
        fold: What the fit may learn from.
        examples: columns.EXAMPLES of this fit.
        catalogue: All items.
        config: Towers, objectives, optimisation.
        checkpoint: Folder to write to and resume from.
        tensorboard: Folder of the event file.
    """
    index, weight = item_graph(fold.liked, config.tower)
    popularity = torch.from_numpy(fold.popularity)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = towers.build(
            torch.from_numpy(catalogue.text),
            popularity,
            (torch.from_numpy(index), torch.from_numpy(weight)),
            config.tower,
            {c.modality.name: torch.from_numpy(c.vectors) for c in catalogue.contents},
        )
    context = ObjectiveContext(
        popularity=popularity,
        full_softmax=len(catalogue) <= config.fit.max_full_softmax_items,
        towers=model,
        histories=fold.train,
        liked=fold.liked,
        history_length=config.fit.history_length,
    )
    result = trainer.train(
        model,
        chosen_objectives.build(config, context),
        read_examples(
            examples,
            catalogue.index,
            length=config.fit.history_length,
            user_ids=fold.train.user_ids,
        ),
        config.fit,
        seed=config.seed,
        checkpoint=checkpoint,
        tensorboard=tensorboard,
        what=f"Train towers ({fold.name})",
    )
    scorer = finish(model)
    if config.tower.user_smoothing and result.steps:
        scorer.user.landmarks = landmarks_of(
            scorer.user,
            fold.train,
            count=config.tower.landmarks,
            share=config.tower.user_smoothing,
            temperature=config.tower.user_temperature,
            length=config.fit.history_length,
            seed=config.seed,
        )
    return scorer, result


def finish(model: towers.TwoTower) -> TowerScorer:
    """Return the served form: item vectors computed, divided by the temperature."""
    model = model.cpu().eval()
    model.user.bake()
    with torch.no_grad():
        everything = torch.arange(model.n_items)
        parts = [model.item(chunk) for chunk in everything.split(ITEM_CHUNK)]
        vectors = torch.cat([vectors for vectors, _ in parts])
        bias = torch.cat([bias for _, bias in parts])
        vectors = vectors * torch.exp(-model.log_temperature)
    return TowerScorer(model.user.requires_grad_(False), vectors, bias)


def assemble(
    fold: Fold,
    catalogue: ItemCatalogue,
    tower: TowerScorer,
    choices: Choices,
    tokens: list[str],
    config: TrainConfig,
) -> RecommenderModule:
    """Put the fitted parts together with the chosen settings."""
    return RecommenderModule(
        tower,
        [fit_linear(fold, part, config) for part, _ in choices.linears],
        fit_factors(fold, config) if choices.factors else None,
        fit_prior(fold, catalogue.features, tokens, choices.half_life_days, config),
        extension(fold, catalogue, choices.boost, config),
        choices.fusion(),
    ).eval()


def extension(
    fold: Fold, catalogue: ItemCatalogue, boost: float, config: TrainConfig
) -> ColdExtension:
    """Fit the extension to cold items."""
    return ColdExtension(
        torch.from_numpy(fold.warm),
        torch.from_numpy(ridge_map(catalogue.features, fold.popularity, config.cold)),
        torch.from_numpy(catalogue.features),
        boost=boost,
    )
