"""How much a tower tells of histories that it did not learn from."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from counterpoint.encoder import masking
from counterpoint.encoder.behaviour_tokens import Behaviour
from counterpoint.encoder.foretelling import Foreteller
from counterpoint.encoder.hidden_histories import Divided, Hiding
from counterpoint.encoder.tokens import Rows
from counterpoint.progress import track

MEASURED = 200
"""Histories that are measured: several, ending at different events, of each user kept out."""

MEASURED_ITEMS = 2000
"""In large catalogues a hidden item is ranked among this many; the figures say so."""


@dataclass(frozen=True)
class Figures:
    """What is told of the histories that were kept out.

    Attributes:
        histories: How many.
        tokens: Hidden tokens (of decoders: next tokens).
        token_loss: Mean cross-entropy.
        token_accuracy: Share of the tokens that score best.
        items: Hidden items (of decoders: next items).
        candidates: Items that each is ranked among.
        item_hit1: Share of the items that rank first.
        item_hit10: Share among the first ten.
        popular_hit10: The same for ranking by popularity.
    """

    histories: int
    tokens: int
    token_loss: float | None
    token_accuracy: float | None
    items: int
    candidates: int
    item_hit1: float | None
    item_hit10: float | None
    popular_hit10: float | None

    def report(self) -> dict[str, Any]:
        """Return them by name."""
        return asdict(self)


def measure(
    foreteller: Foreteller,
    behaviour: Behaviour,
    divided: Divided,
    hiding: Hiding,
    *,
    seed: int,
    what: str,
) -> Figures:
    """Hide parts of the kept-out histories, always the same ones, and see what is told.

    Args:
        foreteller: Of the tower.
        behaviour: All histories.
        divided: Which of them are kept out.
        hiding: How parts are hidden.
        seed: Of what is hidden.
        what: Shown beside the progress.
    """
    tasks = [
        hiding.task(behaviour, user, end, np.random.default_rng((seed, 1, user, end)))
        for user, end in _measured(behaviour, divided.withheld, seed)
    ]
    size = hiding.config.batch_size
    batches = [
        masking.collate(tasks[start : start + size], pad=hiding.pad)
        for start in range(0, len(tasks), size)
    ]
    texts = np.concatenate([task.texts for task in tasks]) if tasks else np.zeros(0, np.int64)
    candidates = _candidates(texts, len(behaviour.items), seed)
    popular = _ranks(divided.shares[candidates], np.searchsorted(candidates, texts))
    device = next(foreteller.tower.parameters()).device
    loss, right, ranks = 0.0, 0, [np.zeros(0, np.int64)]
    foreteller.train(False)
    with torch.no_grad():
        vectors = foreteller.vectors(candidates) if len(texts) else None
        for cpu_batch in track(batches, what):
            batch = cpu_batch.to(device)
            if len(batch.tokens):
                lost, found = foreteller.tokens_told(batch)
                loss, right = loss + lost, right + found
            if vectors is not None and len(batch.texts):
                ranks.append(foreteller.item_ranks(batch, vectors, candidates))
    told = np.concatenate(ranks)
    tokens = sum(len(task.tokens) for task in tasks)
    return Figures(
        len(tasks),
        tokens,
        loss / tokens if tokens else None,
        right / tokens if tokens else None,
        len(told),
        len(candidates),
        _share(told < 1),
        _share(told < 10),
        _share(popular < 10),
    )


def _measured(behaviour: Behaviour, users: Rows, seed: int) -> list[tuple[int, int]]:
    """Return users and ends of their histories, evenly spread and the whole history among them."""
    drawn = np.sort(np.random.default_rng(seed).permutation(users)[:MEASURED])
    found = []
    for user in drawn.tolist():
        first, last = (int(place) for place in behaviour.indptr[user : user + 2])
        count = min(MEASURED // len(drawn), last - first)
        ends = last - np.arange(count) * (last - first) // count
        found += [(user, int(end)) for end in ends]
    return found


def _candidates(texts: Rows, total: int, seed: int) -> Rows:
    order = np.random.default_rng(seed).permutation(total)
    others = order[~np.isin(order, texts)][: max(0, MEASURED_ITEMS - len(np.unique(texts)))]
    return np.union1d(texts, others).astype(np.int64)


def _ranks(scores: npt.NDArray[np.float64], places: Rows) -> Rows:
    above = (scores > scores[places][:, None]).sum(1)
    equal = (scores == scores[places][:, None]).sum(1) - 1
    return np.asarray(above + equal // 2, dtype=np.int64)


def _share(hits: npt.NDArray[np.bool_]) -> float | None:
    return float(hits.mean()) if len(hits) else None
