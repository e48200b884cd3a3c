"""Contrastive training of the text encoder on what users liked, judged on withheld items."""

import logging
import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from counterpoint import checkpoints
from counterpoint.config.encoder import TuneConfig
from counterpoint.devices import resolve_device
from counterpoint.encoder import perturbation, ranks
from counterpoint.encoder.reader import Reader
from counterpoint.encoder.trainable import Trainable
from counterpoint.encoder.tuning_objectives import Objectives, Task
from counterpoint.errors import DataError
from counterpoint.precision import in_bfloat16
from counterpoint.progress import track
from counterpoint.sharded import whole
from counterpoint.significance import ERRORS

MOST_RANKS = 4096
"""Processes that draw dropout of their own."""

logger = logging.getLogger(__name__)


@dataclass
class Curves:
    """Scalars of a training run.

    Attributes:
        loss: Per step.
        learning_rate: Per step.
        texts: Different texts encoded per step.
        look_step: Steps done before each look.
        look_ndcg: NDCG@10 of the withheld items at each look; the first is the untrained encoder.
    """

    loss: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    texts: list[int] = field(default_factory=list)
    look_step: list[int] = field(default_factory=list)
    look_ndcg: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Tuned:
    """What training did; the trainable holds the best weights seen.

    Attributes:
        pays: The best weights order new items clearly better than the untrained ones.
        why: In words.
        figures: Plain numbers.
        curves: See ``Curves``.
    """

    pays: bool
    why: str
    figures: dict[str, float]
    curves: Curves


class _State:
    """Present and best weights, and what was seen before, as one thing a checkpoint can hold."""

    def __init__(self, trainable: Trainable, users: int) -> None:
        self.trainable = trainable
        self.best = trainable.snapshot()
        self.before = torch.zeros(users, dtype=torch.float64)

    def keep(self) -> None:
        for name, weight in self.trainable.state_dict().items():
            self.best[name].copy_(weight)

    def state_dict(self) -> dict[str, Tensor]:
        best = {f"best.{name}": weight for name, weight in self.best.items()}
        return self.trainable.state_dict() | best | {"before": self.before}


class Tuner:
    """Trains an encoder.

    Args:
        trainable: The tower and what learns of it; changed in place.
        task: Texts, users, withheld items.
        config: Losses, steps, bounds.
        seed: Of every draw; each depends on the seed and the step alone, so that a resumed run
            equals an uninterrupted one.
    """

    def __init__(self, trainable: Trainable, task: Task, config: TuneConfig, *, seed: int) -> None:
        self._trainable = trainable
        self._task = task
        self._config = config
        self._seed = seed
        self._device = resolve_device(config.device)
        self._ranks = ranks.current()
        self.objectives = Objectives(task, config, self._device)
        self.reader = Reader(
            trainable,
            task.table,
            config,
            device=self._device,
            bfloat16=in_bfloat16(config.precision, self._device),
            ranks=self._ranks,
        )

    def fit(self, checkpoint: Path | None = None) -> Tuned:
        """Train until nothing gets better.

        Args:
            checkpoint: Folder to write to and resume from.

        Raises:
            DataError: The loss became NaN or infinite.
        """
        config = self._config
        started, cpu = time.monotonic(), time.process_time()
        lacking = self.objectives.lacking()
        if lacking:
            return Tuned(False, lacking, {"steps": 0}, Curves())
        tower = self._trainable.tower.to(self._device)
        weights = list(self._trainable.parameters().values())
        optimizer = torch.optim.AdamW(
            weights, lr=config.learning_rate, weight_decay=config.weight_decay
        )
        schedule = LambdaLR(optimizer, lambda step: slope(step, config))
        probe = self._task.probe
        state, curves = _State(self._trainable, probe.evidence.shape[0] if probe else 0), Curves()
        first = checkpoints.resume(checkpoint, state, optimizer, schedule, curves)
        with torch.random.fork_rng(), self.reader.open():
            tower.train()
            if not curves.look_step:
                self._look(0, curves, state)
            for step in track(range(first, config.max_steps), "Train the text encoder"):
                if self._tired(curves):
                    break
                if config.hard_negatives.count and step % config.hard_negatives.refresh_steps == 0:
                    self.objectives.hard.mine(self.reader.all())
                optimizer.zero_grad()
                loss, texts = self.gradients(step)
                if not self._trainable.sharded:
                    self._ranks.sum_gradients(weights)
                norm = whole(torch.nn.utils.clip_grad_norm_(weights, config.max_gradient))
                if not (math.isfinite(loss) and torch.isfinite(norm)):
                    raise DataError(
                        f"The loss of the text encoder is not finite at step {step} (loss {loss}, "
                        f"length of the gradient {float(norm)}). Lower train.encoder.tune."
                        "learning_rate, or use precision float32."
                    )
                curves.learning_rate.append(float(schedule.get_last_lr()[0]))
                optimizer.step()
                schedule.step()
                curves.loss.append(loss)
                curves.texts.append(texts)
                done = step + 1
                if done % config.evaluate_steps == 0 or done == config.max_steps:
                    self._look(done, curves, state)
                first_of_all = self._ranks.rank == 0
                if checkpoint and self._saves(done) and (first_of_all or self._trainable.sharded):
                    made = state, optimizer, schedule, curves
                    checkpoints.save(checkpoint, done, *made, write=first_of_all)
            self._trainable.load(state.best)
            tower.eval()
            spent = time.monotonic() - started, time.process_time() - cpu
            return self._judge(curves, state.before.numpy(), *spent)

    def gradients(self, step: int) -> tuple[float, int]:
        """Add the gradients of a step; return its loss and how many texts were encoded."""
        config = self._config
        random = np.random.default_rng([self._seed, step])
        total, texts = 0.0, 0
        for number, objective in enumerate(self.objectives.active):

            def seed(number: int = number) -> None:
                place = (self._seed * 1_000_003 + step) * 4 + number
                torch.manual_seed(place * MOST_RANKS + self._ranks.rank)

            seed()
            rows, loss_of = objective(random)
            texts += len(rows)
            if config.adversarial.method == "off":
                total += float(self.reader.backward(rows, loss_of))
                continue
            total += sum(
                float(part)
                for part in perturbation.backward(
                    self.reader,
                    rows,
                    loss_of,
                    config.adversarial,
                    list(self._trainable.parameters().values()),
                    passes=self.reader.passes(rows),
                    seed=seed,
                )
            )
        return total, texts

    def _look(self, done: int, curves: Curves, state: _State) -> None:
        curves.look_step.append(done)
        if self._task.probe is None:
            curves.look_ndcg.append(float("nan"))
            state.keep()
            return
        found = self.measure()
        value = float(found.mean())
        if not done:
            state.before.copy_(torch.from_numpy(found))
        if value > max(curves.look_ndcg, default=-1.0):
            state.keep()
        curves.look_ndcg.append(value)

    def measure(self) -> npt.NDArray[np.float64]:
        """Return (V,) NDCG@10 of the withheld items with the present weights."""
        assert self._task.probe is not None
        vectors = self.reader.all().numpy()
        text = np.zeros((len(self._task.row), vectors.shape[1]), dtype=np.float32)
        described = self._task.row >= 0
        text[described] = vectors[self._task.row[described]]
        return self._task.probe.look(text)

    def _tired(self, curves: Curves) -> bool:
        if self._task.probe is None:
            return False
        best = int(np.argmax(curves.look_ndcg))
        return len(curves.look_ndcg) - 1 - best >= self._config.patience

    def _saves(self, done: int) -> bool:
        """With hard negatives only where they are mined anew, so that a resumed run mines alike."""
        hard = self._config.hard_negatives
        every = self._config.checkpoint_steps
        if hard.count:
            every = hard.refresh_steps * math.ceil(every / hard.refresh_steps)
        return done % every == 0

    def _judge(
        self,
        curves: Curves,
        before: npt.NDArray[np.float64],
        seconds: float,
        cpu_seconds: float,
    ) -> Tuned:
        figures: dict[str, float] = {
            "steps": len(curves.loss),
            "seconds": round(seconds, 2),
            "cpu_seconds": round(cpu_seconds, 2),
            "pairs": self._config.batch_size * len(curves.loss),
            "texts_per_step": float(np.mean(curves.texts)) if curves.texts else 0.0,
        }
        if self._task.probe is None:
            return Tuned(True, "too few withheld items to judge by", figures, curves)
        best = int(np.argmax(curves.look_ndcg))
        after = self.measure()
        gap = after - before
        error = float(gap.std(ddof=1) / np.sqrt(len(gap)))
        figures |= {
            "withheld_items": float(len(self._task.probe.withheld)),
            "users": float(len(gap)),
            "frozen_ndcg@10": float(before.mean()),
            "tuned_ndcg@10": float(after.mean()),
            "difference": float(gap.mean()),
            "standard_error": error,
            "best_step": float(curves.look_step[best]),
        }
        pays = bool(gap.mean() > ERRORS * error)
        verdict = "pays" if pays else "does not clearly pay"
        why = (
            f"training {verdict}: NDCG@10 of {len(self._task.probe.withheld)} withheld items "
            f"{before.mean():.4f} before, {after.mean():.4f} after "
            f"({gap.mean():+.4f}, standard error {error:.4f}, {len(gap)} users)"
        )
        return Tuned(pays, why, figures, curves)


def slope(step: int, config: TuneConfig) -> float:
    """Return the share of the learning rate: up over the warm-up, then down to 0."""
    rise = max(1.0, config.warmup * config.max_steps)
    return min((step + 1) / rise, (config.max_steps - step) / max(1.0, config.max_steps - rise + 1))
