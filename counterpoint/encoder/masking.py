"""What is hidden in a history and must be found again."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from counterpoint.config.pretrain import PretrainConfig
from counterpoint.encoder.behaviour_tokens import NONE, Window

MASKED, RANDOM = 0.8, 0.1
"""Of the chosen tokens 80% become [MASK], 10% any token, and 10% stay (Devlin et al. 2019)."""

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """A text and what its hidden states must tell.

    Attributes:
        ids: (T,) token ids as the model reads them.
        token_places: (M,) places in ``ids`` whose state must tell a token.
        tokens: (M,) these tokens.
        item_places: (K,) places whose state must tell an item.
        texts: (K,) these items' texts.
    """

    ids: Ids
    token_places: Ids
    tokens: Ids
    item_places: Ids
    texts: Ids


def hide(
    window: Window,
    rng: np.random.Generator,
    config: PretrainConfig,
    *,
    mask: int,
    ordinary: Ids,
) -> Task:
    """Hide items and words, for encoders, which see both sides.

    A hidden item is one [MASK], however long its text: as many as it has tokens would give it away.
    All events of one item are hidden together. Its only context may be the user's attributes, but
    not nothing.

    Args:
        window: Of a history.
        rng: Draws what is hidden.
        config: Shares; with a weight of 0 nothing of that kind is hidden.
        mask: Id of [MASK].
        ordinary: Ids of all tokens that are not special.
    """
    ids = window.ids.copy()
    hidden = np.zeros(len(ids), dtype=bool)
    first = np.zeros(len(ids), dtype=bool)
    for event in _chosen_events(window, rng, config):
        inside = np.flatnonzero(window.events == event)
        hidden[inside] = True
        first[inside[0]] = True
    chosen = _chosen_tokens(window, ~hidden, rng, config)
    labels = ids[chosen]
    fate = rng.random(len(chosen))
    ids[chosen[fate < MASKED]] = mask
    random = chosen[(fate >= MASKED) & (fate < MASKED + RANDOM)]
    ids[random] = ordinary[rng.integers(len(ordinary), size=len(random))]
    ids[first] = mask
    kept = ~hidden | first
    place = np.cumsum(kept) - 1
    return Task(
        ids[kept],
        place[chosen],
        labels,
        place[first],
        window.texts[window.events[first]],
    )


def foresee(window: Window, rng: np.random.Generator, config: PretrainConfig) -> Task:
    """Ask for each next token and for some next items, for decoders, which see the past only.

    The state before the first token of an item's text must tell the item.

    Args:
        window: Of a history.
        rng: Draws the items.
        config: Shares; with a weight of 0 nothing of that kind is asked for.
    """
    nothing = np.zeros(0, dtype=np.int64)
    asked = np.flatnonzero(window.words[1:] != NONE) if config.masked_token else nothing
    events = _chosen_events(window, rng, config, past_only=True)
    starts = np.array([np.argmax(window.events == event) for event in events], dtype=np.int64)
    return Task(window.ids, asked, window.ids[asked + 1], starts - 1, window.texts[events])


def _chosen_events(
    window: Window, rng: np.random.Generator, config: PretrainConfig, *, past_only: bool = False
) -> Ids:
    """Return the (k,) events of the items that are asked for."""
    present = np.unique(window.events[window.events != NONE])
    if past_only and not window.profile:
        present = present[present > 0]
    distinct = np.unique(window.texts[present])
    alone = len(distinct) < 2 and not window.profile and not past_only
    if not config.masked_item or not len(distinct) or alone:
        return np.zeros(0, dtype=np.int64)
    count = max(1, round(config.item_share * len(distinct)))
    drawn = rng.choice(distinct, size=count, replace=False)
    return present[np.isin(window.texts[present], drawn)]


def _chosen_tokens(
    window: Window, free: npt.NDArray[np.bool_], rng: np.random.Generator, config: PretrainConfig
) -> Ids:
    """Return the places of the hidden tokens, in order."""
    places = np.flatnonzero(free & (window.words != NONE))
    # Rounded at random, so that short texts have the right share on average.
    count = int(config.token_share * len(places) + rng.random())
    if not config.masked_token or not count:
        return np.zeros(0, dtype=np.int64)
    if not config.whole_words:
        return np.sort(rng.choice(places, size=count, replace=False))
    _, word, sizes = np.unique(window.words[places], return_inverse=True, return_counts=True)
    taken = np.zeros(len(sizes), dtype=bool)
    left = count
    for number in rng.permutation(len(sizes)).tolist():
        if sizes[number] <= left:
            taken[number] = True
            left -= int(sizes[number])
    return places[taken[word]]


@dataclass(frozen=True)
class TaskBatch:
    """Texts padded on the right; places count through all rows.

    Attributes:
        ids: (B, T) int64.
        attention: (B, T) int64.
        token_places: (M,) int64, into the flattened (B * T).
        tokens: (M,) int64.
        item_places: (K,) int64.
        texts: (K,) int64.
    """

    ids: Tensor
    attention: Tensor
    token_places: Tensor
    tokens: Tensor
    item_places: Tensor
    texts: Tensor

    def to(self, device: torch.device) -> "TaskBatch":
        """Return it on a device."""
        return TaskBatch(**{name: value.to(device) for name, value in vars(self).items()})


def collate(tasks: Sequence[Task], *, pad: int) -> TaskBatch:
    """Join texts of different lengths.

    Args:
        tasks: One at least.
        pad: Id of the padding token.
    """
    width = max(len(task.ids) for task in tasks)
    ids = np.full((len(tasks), width), pad, dtype=np.int64)
    attention = np.zeros_like(ids)
    for row, task in enumerate(tasks):
        ids[row, : len(task.ids)] = task.ids
        attention[row, : len(task.ids)] = 1
    starts = np.arange(len(tasks)) * width
    return TaskBatch(
        *map(
            torch.from_numpy,
            (
                ids,
                attention,
                np.concatenate([t.token_places + s for t, s in zip(tasks, starts, strict=True)]),
                np.concatenate([task.tokens for task in tasks]),
                np.concatenate([t.item_places + s for t, s in zip(tasks, starts, strict=True)]),
                np.concatenate([task.texts for task in tasks]),
            ),
        )
    )
