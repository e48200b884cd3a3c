"""The loop of masked training: seeded by step, checkpointed, measured on users kept out."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from counterpoint import checkpoints
from counterpoint.config.pretrain import PretrainConfig
from counterpoint.encoder import masking
from counterpoint.encoder.behaviour_tokens import Behaviour
from counterpoint.encoder.foretelling import Foreteller
from counterpoint.encoder.masking import Task, TaskBatch
from counterpoint.encoder.tokens import Rows
from counterpoint.errors import DataError
from counterpoint.progress import track
from counterpoint.trainer import Curves

logger = logging.getLogger(__name__)

MEASURED = 200
"""Histories that are measured: several, ending at different events, of each user kept out."""

MEASURED_ITEMS = 2000
"""In large catalogues a hidden item is ranked among this many; the figures say so."""


@dataclass(frozen=True)
class Hiding:
    """How a backbone is asked.

    Attributes:
        decoder: It sees the past only.
        mask: Id of [MASK]; unused for decoders.
        ordinary: Ids of the tokens that are not special.
        pad: Id of the padding token.
        config: Shares and length.
    """

    decoder: bool
    mask: int
    ordinary: Rows
    pad: int
    config: PretrainConfig

    def task(self, behaviour: Behaviour, user: int, end: int, rng: np.random.Generator) -> Task:
        """Return one history with its hidden parts."""
        window = behaviour.window(user, end, self.config.max_tokens)
        if self.decoder:
            return masking.foresee(window, rng, self.config)
        return masking.hide(window, rng, self.config, mask=self.mask, ordinary=self.ordinary)


@dataclass(frozen=True)
class Divided:
    """Users to learn from and users to measure on.

    Attributes:
        events: (E,) places of the events of the former.
        owners: (E,) their users.
        withheld: Users of the latter.
        shares: (V,) share of each text among ``events``.
    """

    events: Rows
    owners: Rows
    withheld: Rows
    shares: npt.NDArray[np.float64]


def divide(behaviour: Behaviour, config: PretrainConfig, *, seed: int) -> Divided:
    """Keep some users out; one at least is learnt from.

    Raises:
        DataError: There is nothing to learn from, or the items cannot be told apart.
    """
    active = np.flatnonzero(np.diff(behaviour.indptr) > 0)
    if not len(active):
        raise DataError(
            f"train.encoder.pretrain needs histories as text, but none of the {len(behaviour)} "
            "users has an event in the train fold on an item with a title, attributes or a "
            "description. Map these columns, or set train.encoder.pretrain to null."
        )
    distinct = len(np.unique(behaviour.text))
    if config.masked_item and distinct < 2:
        raise DataError(
            f"The {len(behaviour.text)} events of the train fold are all on items with one and "
            "the same text, so masked items cannot be told apart. Map a title or description "
            "column, or set train.encoder.pretrain.masked_item to 0 (or pretrain to null)."
        )
    count = min(round(config.withheld * len(active)), len(active) - 1)
    withheld = np.sort(np.random.default_rng(seed).permutation(active)[:count])
    owners = behaviour.owners
    events = np.flatnonzero(~np.isin(owners, withheld))
    counts = np.bincount(behaviour.text[events], minlength=len(behaviour.items))
    return Divided(events, owners[events], withheld, counts / counts.sum())


def run(
    foreteller: Foreteller,
    behaviour: Behaviour,
    divided: Divided,
    hiding: Hiding,
    *,
    seed: int,
    checkpoint: Path,
) -> tuple[Curves, int]:
    """Train; the tower and the head are changed in place.

    Every random draw depends on (seed, step) alone, so a resumed run equals an uninterrupted one.

    Args:
        foreteller: Of the tower.
        behaviour: All histories.
        divided: Which of them are learnt from.
        hiding: How parts are hidden.
        seed: Of histories, masks, negatives and dropout.
        checkpoint: Folder to write to and resume from.

    Returns:
        Loss per step, and the step of the checkpoint that it continued from, or 0.

    Raises:
        DataError: The loss or its gradient became NaN or infinite.
    """
    config = hiding.config
    device = next(foreteller.tower.parameters()).device
    weights = list(foreteller.learning.values())
    optimizer = _optimizer(weights, config)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _Rate(config))
    curves = Curves(terms={"masked_token": [], "masked_item": []})
    first = checkpoints.resume(checkpoint, foreteller, optimizer, schedule, curves)
    foreteller.train(True)
    for step in track(range(first, config.steps), "Pre-train the encoder"):
        torch.manual_seed(seed * 1_000_003 + step)
        rng = np.random.default_rng((seed, 0, step))
        batch = _batch(behaviour, divided, hiding, rng).to(device)
        loss, terms = foreteller.losses(batch, rng)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(weights, config.max_gradient)
        if not torch.isfinite(loss) or not torch.isfinite(norm):
            values = {name: term.item() for name, term in terms.items()}
            raise DataError(
                f"The loss of pre-training or its gradient is not finite at step {step} of "
                f"{config.steps} ({values}). Lower train.encoder.pretrain.learning_rate, raise "
                "its temperature, or use precision float32."
            )
        curves.learning_rate.append(float(schedule.get_last_lr()[0]))
        optimizer.step()
        schedule.step()
        curves.total.append(loss.item())
        for name, term in terms.items():
            curves.terms[name].append(term.item())
        done = step + 1
        if done % config.checkpoint_steps == 0 or done == config.steps:
            checkpoints.save(checkpoint, done, foreteller, optimizer, schedule, curves)
    foreteller.train(False)
    return curves, first


class _Rate:
    """Rises linearly, then falls linearly, in the peak."""

    def __init__(self, config: PretrainConfig) -> None:
        self.steps = config.steps
        self.warm = config.warmup * config.steps

    def __call__(self, step: int) -> float:
        rising = (step + 1) / (self.warm + 1)
        falling = (self.steps - step) / max(self.steps - self.warm, 1.0)
        return max(0.0, min(1.0, rising, falling))


def _optimizer(weights: list[nn.Parameter], config: PretrainConfig) -> torch.optim.AdamW:
    """AdamW; biases and norms are not decayed."""
    groups = [
        {"params": [w for w in weights if w.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def _batch(
    behaviour: Behaviour, divided: Divided, hiding: Hiding, rng: np.random.Generator
) -> TaskBatch:
    """Draw events evenly; each brings the history that it is the newest of."""
    drawn = rng.integers(len(divided.events), size=hiding.config.batch_size)
    tasks = [
        hiding.task(behaviour, int(divided.owners[place]), int(divided.events[place]) + 1, rng)
        for place in drawn
    ]
    return masking.collate(tasks, pad=hiding.pad)


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
