"""Slices of users and items on which a mean may hide a loss."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from counterpoint.config.evaluate import EvaluateConfig
from counterpoint.metrics import Ranking


@dataclass(frozen=True)
class Slice:
    """Part of an evaluation.

    Attributes:
        name: Such as ``short_history``, or the attribute token it stands for.
        meaning: One line for the report.
        users: (U,) users that belong to it.
        items: (N,) items whose targets count; the lists stay those of the whole catalogue. None:
            all.
    """

    name: str
    meaning: str
    users: npt.NDArray[np.bool_]
    items: npt.NDArray[np.bool_] | None = None

    def cut(self, ranking: Ranking) -> tuple[npt.NDArray[np.int64], Ranking]:
        """Return the indices of the users with a target in the slice, and their ranking."""
        targets = ranking.targets
        if self.items is not None:
            kept = sp.diags_array(self.items.astype(np.float32))
            targets = sp.csr_matrix(targets @ kept, dtype=bool)
            targets.eliminate_zeros()
        users = np.flatnonzero(self.users & (np.diff(targets.indptr) > 0))
        return users, Ranking(
            ranking.top[users],
            targets[users],
            ranking.popularity,
            ranking.n_train_users,
            ranking.attributes,
        )


def slices(
    *,
    liked_before: npt.NDArray[np.int64],
    trained_on: npt.NDArray[np.bool_],
    popularity: npt.NDArray[np.int64],
    config: EvaluateConfig,
) -> list[Slice]:
    """Return the slices by activity and popularity; some may have no user.

    Args:
        liked_before: (U,) positives in each user's history.
        trained_on: (U,) whether the user has events in the training data.
        popularity: (N,) training positives of each item.
        config: ``sparse_history``, ``short_history`` and ``head_share``.
    """
    everybody = np.ones(len(liked_before), dtype=bool)
    n_head = max(1, round(config.head_share * len(popularity)))
    threshold = np.sort(popularity)[-n_head]
    head = (popularity >= threshold) & (popularity > 0)
    tail = ~head & (popularity > 0)
    none, few, short = (liked_before < n for n in (1, config.sparse_history, config.short_history))
    return [
        Slice("new_users", "users without events in the training data", ~trained_on),
        Slice("known_users", "users with events in the training data", trained_on),
        Slice("cold_users", "users without a positive before", none),
        Slice("sparse_users", f"1 to {config.sparse_history - 1} positives before", few & ~none),
        Slice("short_history", f"fewer than {config.short_history} positives before", short),
        Slice("long_history", f"at least {config.short_history} positives before", ~short),
        Slice(
            "head_items", f"targets among the {config.head_share:.0%} most liked", everybody, head
        ),
        Slice("tail_items", "targets liked by others, but not head", everybody, tail),
        Slice("cold_items", "targets nobody liked in training", everybody, popularity == 0),
    ]


def user_attribute_slices(
    attributes: Sequence[Sequence[str]], *, count: int, min_users: int
) -> list[Slice]:
    """Return slices of the users who share an attribute token, the most frequent ones.

    Args:
        attributes: (U,) tokens of each user.
        count: Largest number of slices.
        min_users: Rarer tokens, and those that leave out fewer users than this, give no slice.
    """
    users = Counter(token for tokens in attributes for token in set(tokens))
    chosen = _most(users, len(attributes), count=count, least=min_users)
    return [
        Slice(
            f"user {token}", f"users with {token}", np.array([token in own for own in attributes])
        )
        for token in chosen
    ]


def item_attribute_slices(
    targets: sp.csr_matrix,
    attributes: sp.csr_matrix,
    names: Sequence[str],
    *,
    count: int,
    min_users: int,
) -> list[Slice]:
    """Return slices of the targets that share an attribute token, those of the most users.

    Args:
        targets: (U, N) boolean.
        attributes: (N, A) boolean.
        names: The A tokens.
        count: Largest number of slices.
        min_users: Tokens among the targets of fewer users give no slice.
    """
    met = (targets.astype(np.float32) @ attributes.astype(np.float32)) > 0
    users = Counter(dict(zip(names, np.asarray(met.sum(axis=0)).ravel().tolist(), strict=True)))
    columns = attributes.tocsc()
    place = {name: index for index, name in enumerate(names)}
    found = []
    for token in _most(users, None, count=count, least=min_users):
        items = np.zeros(attributes.shape[0], dtype=bool)
        items[columns[:, [place[token]]].indices] = True
        everybody = np.ones(targets.shape[0], dtype=bool)
        found.append(Slice(f"item {token}", f"targets with {token}", everybody, items))
    return found


def _most(users: Counter[str], total: int | None, *, count: int, least: int) -> list[str]:
    """The most frequent tokens; a group that is nearly everybody tells nothing new."""
    most = len(users) and (max(users.values()) if total is None else total - least)
    fit = [token for token, n in users.items() if least <= n <= most]
    return sorted(fit, key=lambda token: (-users[token], token))[:count]
