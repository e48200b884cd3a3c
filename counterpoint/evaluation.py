"""Recommenders judged on the same users, targets and candidates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse as sp

from counterpoint import baselines, columns, metrics, plugins, splits
from counterpoint.config.evaluate import EvaluateConfig
from counterpoint.errors import ConfigError
from counterpoint.histories import Histories, Scorer, from_events
from counterpoint.metrics import Measured, Ranking
from counterpoint.tables import Tables
from counterpoint.topk import rank


@dataclass(frozen=True)
class Task:
    """One evaluation: who is judged, on what, among which items.

    Attributes:
        histories: (U,) users with everything they did before.
        targets: (U, N) boolean.
        train: Histories of all users over the events a fit may use; baselines learn from it.
        item_ids: The N candidates, in index order.
        attributes: (N, A) boolean item attribute tokens.
        held_out: (N,) items withheld from the fit by the split; none: the split withholds none.
        allowed: (N,) items that may be recommended; none: all.
        attribute_names: The A tokens.
    """

    histories: Histories
    targets: sp.csr_matrix
    train: Histories
    item_ids: Sequence[str]
    attributes: sp.csr_matrix
    held_out: npt.NDArray[np.bool_] | None = None
    allowed: npt.NDArray[np.bool_] | None = None
    attribute_names: Sequence[str] = ()

    @cached_property
    def liked(self) -> sp.csr_matrix:
        """(training users, N) positives of the training data, each pair once."""
        return self.train.matrix(len(self.item_ids), positive_only=True)


@dataclass(frozen=True)
class Judged:
    """One method's lists and what they measure."""

    ranking: Ranking
    measured: Mapping[str, Measured]


def candidates(first: Sequence[str], known: Tables) -> list[str]:
    """The full catalogue: the model's items, then the other items of the tables by id."""
    present = set(first)
    ids = pl.concat([known.items[columns.ITEM], known.interactions[columns.ITEM]]).unique().sort()
    return [*first, *(item for item in ids if item not in present)]


def prepare(
    interactions: pl.DataFrame,
    items: pl.DataFrame,
    users: pl.DataFrame,
    *,
    item_ids: Sequence[str],
    fold: splits.Fold = "test",
) -> Task:
    """Build the evaluation of a fold.

    Where every target is an item withheld from the fit (split protocol ``cold_items``), only the
    withheld items may be recommended; ``dataclasses.replace(task, allowed=None)`` ranks all.

    Args:
        interactions: Ordered interactions with ``fold``.
        items: Canonical items; only their attributes are read.
        users: Canonical users; only their attributes are read.
        item_ids: The candidates.
        fold: ``test`` after a final fit, ``valid`` after a fit to choose by.

    Raises:
        DataError: The fold has no targets.
    """
    item_index = {item: index for index, item in enumerate(item_ids)}
    profile: dict[str, Sequence[str]] = {
        row[columns.USER]: list(row[columns.ATTRIBUTES] or ())
        for row in users.iter_rows(named=True)
    }
    histories, targets = splits.fold_histories(interactions, fold, item_index, attributes=profile)
    fit: splits.Fit = "final" if fold == "test" else "choose"
    events = splits.fit_events(interactions, fit)
    trained = events[columns.USER].unique().sort().to_list()
    train = from_events(events, item_index, user_ids=trained, attributes=profile)
    described, attribute_names = _attributes(items, item_index)
    held_out = _held_out(interactions, item_index)
    only_held_out = held_out is not None and not targets[:, ~held_out].nnz
    return Task(
        histories,
        targets,
        train,
        list(item_ids),
        described,
        held_out,
        held_out if only_held_out else None,
        attribute_names,
    )


def judge(scorer: Scorer, task: Task, config: EvaluateConfig) -> Judged:
    """Rank for all users of the task and compute every configured metric."""
    depth = max(metrics.parse(name, k=config.k)[1] for name in config.metrics)
    popularity = np.asarray(task.liked.sum(axis=0)).ravel().astype(np.int64)
    ranking = Ranking(
        rank(
            scorer,
            task.histories,
            n_items=len(task.item_ids),
            k=depth,
            seed=config.seed,
            allowed=task.allowed,
        ),
        task.targets,
        popularity,
        int((np.diff(task.liked.indptr) > 0).sum()),
        task.attributes,
    )
    measured = {name: metrics.measure(name, ranking, k=config.k) for name in config.metrics}
    return Judged(ranking, measured)


def check(config: EvaluateConfig) -> None:
    """Refuse a wrong list of metrics or baselines before anything expensive runs.

    Raises:
        ConfigError: Lists every unknown name, and a primary metric without a value per user.
    """
    faults: list[str] = []
    for name in config.metrics:
        try:
            plugins.load("counterpoint.metrics", metrics.parse(name, k=config.k)[0])
        except ConfigError as error:
            faults += error.faults
    for name, options in config.baselines.items():
        try:
            baselines.configure(name, options)
        except ConfigError as error:
            faults += error.faults
    if not faults:
        primary = plugins.load("counterpoint.metrics", metrics.parse(config.metrics[0], k=1)[0])
        if not hasattr(primary, "per_user"):
            faults.append(
                f"evaluate.metrics starts with {config.metrics[0]!r}, which has no value per "
                "user, so no paired comparison is possible. Put ndcg or another such metric first."
            )
    if faults:
        raise ConfigError(faults)


def _held_out(
    interactions: pl.DataFrame, item_index: dict[str, int]
) -> npt.NDArray[np.bool_] | None:
    """(N,) items withheld by the split; None where it withholds none."""
    if columns.HELD_OUT not in interactions.columns:
        return None
    ids = interactions.filter(columns.HELD_OUT)[columns.ITEM].unique()
    held_out = np.zeros(len(item_index), dtype=bool)
    held_out[[item_index[item] for item in ids if item in item_index]] = True
    return held_out


def _attributes(items: pl.DataFrame, item_index: dict[str, int]) -> tuple[sp.csr_matrix, list[str]]:
    """(N, A) boolean matrix of the attribute tokens, and the tokens."""
    pairs = (
        items.select(columns.ITEM, columns.ATTRIBUTES)
        .explode(columns.ATTRIBUTES)
        .drop_nulls()
        .filter(pl.col(columns.ITEM).is_in(list(item_index)))
        .unique()
        .sort(columns.ITEM, columns.ATTRIBUTES)
    )
    tokens = pairs[columns.ATTRIBUTES].unique().sort()
    cols = tokens.search_sorted(pairs[columns.ATTRIBUTES]).to_numpy()
    rows = np.array([item_index[item] for item in pairs[columns.ITEM]], dtype=np.int64)
    owned = sp.csr_matrix(
        (np.ones(len(rows), dtype=bool), (rows, cols)), shape=(len(item_index), len(tokens))
    )
    return owned, tokens.to_list()
