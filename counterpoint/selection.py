"""Choosing the settings of a fit on validation, from the folds to the taken choices."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from counterpoint import (
    budget,
    candidates,
    cold_choice,
    fitting,
    holdout,
    modality_choice,
    splits,
    trainer,
)
from counterpoint.budget import Budget
from counterpoint.choices import Found, start
from counterpoint.config.train import TrainConfig
from counterpoint.errors import DataError
from counterpoint.fitting import Fold
from counterpoint.item_catalogue import ItemCatalogue
from counterpoint.pools import Validation, alone
from counterpoint.search import FusionSearch
from counterpoint.significance import nearest_of_best
from counterpoint.tower_scorer import TowerScorer

logger = logging.getLogger(__name__)

TrainTower = Callable[[Fold, str, pl.DataFrame], tuple[TowerScorer, trainer.TrainingResult]]
"""Trains a variant of the towers on a fold, on the examples given."""

LEAST_USERS = 10
"""With fewer validation users nothing is chosen: any choice would follow noise."""


def choose(
    interactions: pl.DataFrame,
    examples: pl.DataFrame,
    catalogue: ItemCatalogue,
    profiles: dict[str, Sequence[str]],
    tokens: list[str],
    config: TrainConfig,
    train_tower: TrainTower,
) -> Found:
    """Fit the candidates on the train fold and choose on the validation fold.

    Args:
        interactions: Ordered interactions with ``fold``.
        examples: columns.EXAMPLES of both fits.
        catalogue: All items.
        profiles: user id -> attribute tokens.
        tokens: Profile vocabulary.
        config: Grids and budget.
        train_tower: See ``TrainTower``.
    """
    config = _without_needless(config, catalogue)
    n_train = splits.fit_events(interactions, "final")["user_id"].n_unique()
    first = start(config, has_text=catalogue.text.shape[1] > 0, train_users=n_train)
    if config.choices.budget_seconds == 0:
        return Found(first, None, None, 0, "train.choices.budget_seconds is 0: nothing was tried")
    users = _users(interactions, catalogue)
    why = "chosen on the validation fold"
    if users < config.choices.min_valid_users:
        larger = holdout.per_user(interactions)
        more = 0 if larger is None else _users(larger, catalogue)
        if larger is not None and more > users:
            why = (
                f"the validation fold has {users} users, fewer than "
                f"{config.choices.min_valid_users}: chosen on the last positives of {more} users"
            )
            examples, interactions = holdout.examples_before(examples, larger), larger
            users = more
    if users < LEAST_USERS:
        why = f"{users} users to validate on are fewer than {LEAST_USERS}: the start is kept"
        logger.info("No choice on validation: %s", why)
        return Found(first, None, None, users, why)
    fold = fitting.prepare(interactions, catalogue, profiles, "choose", config)
    histories, targets = splits.fold_histories(
        interactions, "valid", catalogue.index, attributes=profiles
    )
    validation = Validation(
        histories, targets, fold.warm, tokens, config.fit.history_length
    ).sample(config.choices.max_valid_users, config.seed)
    allowance = Budget(config.choices.budget_seconds)
    # Before the towers take what is left, for it costs little beside them.
    judges_modalities = bool(catalogue.contents) and _allowed(allowance, catalogue, config)
    fitted = candidates.fit(
        fold,
        validation,
        catalogue.features,
        tokens,
        first,
        lambda fold, variant: train_tower(fold, variant, examples),
        allowance,
        config,
    )
    pages = alone(
        validation, {str(days): scorer for days, scorer in fitted.priors.items()}, "Try start pages"
    )
    by_days = {days: pages[str(days)] for days in fitted.priors}
    half_life = nearest_of_best(by_days, lambda days: float(days != first.half_life_days))
    search = FusionSearch(validation, fitted, replace(first, half_life_days=half_life), config)
    taken, ndcg = search.run(first)
    taken = replace(taken, half_life_days=half_life)
    tried = [
        {"step": "start page", "half_life_days": days, "ndcg@10": float(values.mean())}
        for days, values in by_days.items()
    ]
    tower = fitted.towers.get(taken.tower_variant)
    boosts: list[dict[str, Any]] = []
    silent: list[str] = []
    if tower is not None:
        module = fitting.assemble(fold, catalogue, tower, taken, tokens, config)
        if judges_modalities:
            silent, judged = modality_choice.choose(module, fold, validation, catalogue, config)
            tried += judged
        if silent:
            catalogue = catalogue.silencing(silent)
            module = fitting.assemble(fold, catalogue, tower, taken, tokens, config)
        boost, boosts = cold_choice.choose(module, fold, validation, catalogue, config)
        taken = replace(taken, boost=boost)
    return Found(
        taken,
        float(ndcg.mean()),
        float(search.start_ndcg.mean()),
        len(validation.histories),
        why,
        [*tried, *fitted.tried, *search.tried, *boosts],
        allowance.skipped,
        silent,
    )


def _allowed(allowance: Budget, catalogue: ItemCatalogue, config: TrainConfig) -> bool:
    """Whether the budget allows to choose the modalities."""
    items = min(len(catalogue), config.cold.max_items)
    each = budget.regression_seconds(items, catalogue.features.shape[1])
    fits = modality_choice.FOLDS * (1 + len(catalogue.contents))
    return allowance.allows("modalities of new items", fits * each)


def _without_needless(config: TrainConfig, catalogue: ItemCatalogue) -> TrainConfig:
    """Leave out the towers that differ from the configured one in modalities that are not there."""
    if catalogue.contents:
        return config
    towers = {
        name: variant
        for name, variant in config.choices.towers.items()
        if variant.modality_gate is None or variant.steps != 1.0 or variant.text_gate is not None
    }
    choices = config.choices.model_copy(update={"towers": towers})
    return config.model_copy(update={"choices": choices})


def _users(interactions: pl.DataFrame, catalogue: ItemCatalogue) -> int:
    """Users with something to be judged on in the validation fold."""
    try:
        return len(splits.fold_histories(interactions, "valid", catalogue.index)[0])
    except DataError:
        return 0
