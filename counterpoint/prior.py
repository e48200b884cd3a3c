"""What to recommend before a history says more: popularity, shifted by the user's attributes."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from counterpoint.histories import Histories

TIE_SHARE = 0.01
"""Equal popularity is told apart by up to one percent: the order never depends on a library."""

NO_ATTRIBUTE = "none"
"""The only profile token of a model whose users have no attributes (P is at least 1)."""


@dataclass(frozen=True)
class PriorTables:
    """Log popularity and what each attribute adds to it.

    Attributes:
        base: (N,) log probability of each item, centred on the most popular.
        tokens: (P,) profile vocabulary, in order.
        shift: (P, N) log ratio of an item's share among users with the token to its overall share.
    """

    base: npt.NDArray[np.float32]
    tokens: list[str]
    shift: npt.NDArray[np.float32]


def vocabulary(
    attributes: Iterable[Sequence[str]], *, min_users: int, max_tokens: int
) -> list[str]:
    """Return the profile tokens of at least ``min_users`` users, most frequent first."""
    count = Counter(token for tokens in attributes for token in set(tokens))
    frequent = [token for token, users in count.items() if users >= min_users]
    return sorted(frequent, key=lambda token: (-count[token], token))[:max_tokens] or [NO_ATTRIBUTE]


def multi_hot(
    attributes: Sequence[Sequence[str]], tokens: Sequence[str]
) -> npt.NDArray[np.float32]:
    """Return (U, P) of the known tokens of each user."""
    place = {token: index for index, token in enumerate(tokens)}
    out = np.zeros((len(attributes), len(tokens)), dtype=np.float32)
    for row, owned in enumerate(attributes):
        out[row, [place[token] for token in owned if token in place]] = 1.0
    return out


def popularity(
    train: Histories, n_items: int, *, half_life_days: float | None
) -> npt.NDArray[np.float64]:
    """Return (N,) positives per item, halved per half-life before the newest event.

    Args:
        train: Events of the fit.
        n_items: N.
        half_life_days: None counts all events alike.
    """
    weight = np.ones(int(train.positive.sum()))
    if half_life_days is not None and len(train.timestamps):
        age = (train.timestamps.max() - train.timestamps[train.positive]) / 86_400e6
        weight = 0.5 ** (age / half_life_days)
    liked = train.items[train.positive]
    return np.bincount(liked, weights=weight, minlength=n_items).astype(np.float64)


def fit(
    train: Histories,
    n_items: int,
    *,
    tokens: list[str],
    half_life_days: float | None,
    shrinkage: float,
) -> PriorTables:
    """Estimate the tables.

    The shift of a token is ``log((c + s * q) / (C + s) / q)``: c of the C positives of users with
    the token fell on the item, q is its overall share, s the shrinkage in events. Tokens add up as
    in naive Bayes, divided by the square root of their number because they overlap.

    Args:
        train: Events of the fit, with attributes.
        n_items: N.
        tokens: Profile vocabulary.
        half_life_days: Of the popularity; None counts all events alike.
        shrinkage: Pseudo-events drawn from the overall shares.
    """
    recent = popularity(train, n_items, half_life_days=half_life_days)
    ever = popularity(train, n_items, half_life_days=None)
    # Any interaction, then the catalogue order, settles ties.
    touched = np.bincount(train.items, minlength=n_items)
    order = np.lexsort((np.arange(n_items), -touched, -ever, -recent))
    tie = np.empty(n_items)
    tie[order] = np.linspace(TIE_SHARE, 0.0, n_items)
    share = recent + 0.1 * ever * (recent.sum() / max(ever.sum(), 1.0)) + 0.1
    base = np.log(share / share.max()) + tie

    profile = multi_hot(train.attributes, tokens)
    counts = train.matrix(n_items, positive_only=True)
    by_token = np.asarray((counts.T @ profile).T, dtype=np.float64)  # (P, N)
    overall = (ever + 0.1) / (ever + 0.1).sum()
    smoothed = (by_token + shrinkage * overall) / (by_token.sum(1, keepdims=True) + shrinkage)
    return PriorTables(
        base.astype(np.float32), tokens, np.log(smoothed / overall).astype(np.float32)
    )


class PriorScorer(nn.Module):
    """Scores from the profile alone.

    Args:
        base: (N,).
        shift: (P, N).
    """

    base: Tensor
    shift: Tensor

    def __init__(self, base: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("base", base)
        self.register_buffer("shift", shift)

    def forward(self, profile: Tensor) -> Tensor:
        """Return (B, N) scores.

        Args:
            profile: (B, P) multi-hot.
        """
        return self.base + torch.matmul(self.share(profile), self.shift)

    def share(self, profile: Tensor) -> Tensor:
        """Return the (B, P) weights of the tokens."""
        return profile / profile.sum(-1, keepdim=True).clamp(min=1.0).sqrt()
