"""A trained re-ranker as a value: judging candidates, saving and loading beside its recommender."""

import hashlib
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from counterpoint import artifacts, tables
from counterpoint.config.reranker import StudentConfig
from counterpoint.errors import DataError
from counterpoint.recommender import Recommender
from counterpoint.reranker.features import NAMES, PairFeatures, split_kinds
from counterpoint.reranker.statistics import NAMES as STATISTICS
from counterpoint.reranker.statistics import SHRINKAGE, Units
from counterpoint.reranker.student import Student

TENSORS = "reranker.safetensors"
DESCRIPTION = "reranker.json"
FORMAT = 1
FAR = 4.0


@dataclass(frozen=True)
class Settings:
    """How a re-ranker is used.

    Attributes:
        weight: Of the judgement beside the recommender's score, both standardised over the
            candidates; 0: `recommend` leaves it alone.
        depth: Best items of the recommender that are looked at.
        events: Newest events that are read.
        ratings: Whether it has learnt from ratings.
        units: Of the ratings.
        student: Widths.
    """

    weight: float
    depth: int
    events: int
    ratings: bool
    units: Units
    student: StudentConfig


class Judge(nn.Module):
    """The served graph: the student with what is known of the items now.

    Args:
        student: Trained.
        statistics: (N, 3) of all items; new items at the end may be missing.
        absent: (3,) of an item without events.
        settings: Units of the rating.
    """

    statistics: Tensor

    def __init__(
        self, student: Student, statistics: Tensor, absent: Tensor, settings: Settings
    ) -> None:
        super().__init__()
        self.student = student
        self.units = settings.units
        self.ratings = settings.ratings
        known = student.features.text.shape[0] - 1
        later = absent.expand(known - len(statistics), -1)
        table = torch.cat([absent.unsqueeze(0), statistics, later])
        self.register_buffer("statistics", table, persistent=False)

    def forward(
        self, history: Tensor, history_kind: Tensor, candidate: Tensor, score: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Judge candidates.

        Args:
            history: (B, L) int64 one-based items, oldest first, 0 = padding.
            history_kind: (B, L) int64, as of the graph `recommender`.
            candidate: (B, C) int64 one-based items, 0 = padding.
            score: (B, C) float32 scores of the graph `recommender`.

        Returns:
            logit: (B, C) float32 of liking, against the candidates that training drew.
            rating: (B, C) float32 in the data's units; NaN without ratings.
        """
        there = candidate > 0
        lenient = self.leniency(history, history_kind).expand_as(score)
        own = torch.stack([standardised(score, there), lenient], dim=-1)
        told = torch.cat([self.statistics[candidate], own], dim=-1)
        logit, rating = self.student(history, history_kind, candidate, told)
        units = self.units
        rating = (units.mean + units.spread * rating).clamp(units.low, units.high)
        if not self.ratings:
            rating = torch.full_like(rating, torch.nan)
        return logit, rating

    def leniency(self, history: Tensor, kind: Tensor) -> Tensor:
        """Return (B, 1), see ``ItemStatistics.leniency``."""
        liked, other = split_kinds(history, kind)
        met = (liked | other).to(self.statistics.dtype)
        usual = self.units.liked + self.statistics[history][..., STATISTICS.index("liked")]
        surplus = ((liked.to(met.dtype) - usual) * met).sum(1, keepdim=True)
        return surplus / (met.sum(1, keepdim=True) + SHRINKAGE)


def standardised(score: Tensor, there: Tensor) -> Tensor:
    """Return (B, C) scores in standard deviations from the mean of the candidates, cut at 4."""
    one = there.to(score.dtype)
    count = one.sum(1, keepdim=True).clamp(min=1.0)
    mean = (score * one).sum(1, keepdim=True) / count
    spread = ((score - mean).square() * one).sum(1, keepdim=True) / count
    scaled = (score - mean) / spread.clamp(min=1e-12).sqrt()
    return torch.where(there, scaled.clamp(-FAR, FAR), 0.0)


@dataclass(frozen=True)
class Reranker:
    """A trained re-ranker.

    Attributes:
        student: The module.
        statistics: (N, 3) of the items.
        absent: (3,) of an item without events.
        settings: See ``Settings``.
        report: How it was trained and what it was worth.
    """

    student: Student
    statistics: Tensor
    absent: Tensor
    settings: Settings
    report: dict[str, Any] = field(default_factory=dict)

    def judge(self) -> Judge:
        """Return the served module."""
        return Judge(self.student, self.statistics, self.absent, self.settings).eval()

    def save(self, folder: Path) -> None:
        """Write tensors and, last, the description, each atomically."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {f"student.{name}": value for name, value in self.student.state_dict().items()}
        state |= {"statistics": self.statistics, "absent": self.absent}
        tensors = folder / f".{TENSORS}.{os.getpid()}"
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in state.items()}, tensors
        )
        described = {
            "format": FORMAT,
            "settings": asdict(self.settings)
            | {"student": self.settings.student.model_dump(mode="json")},
            "features": list(NAMES),
            "text_width": self.student.features.text_width,
            "n_items": len(self.statistics),
            "tensors_sha256": _sha256(tensors),
            "report": self.report,
        }
        os.replace(tensors, folder / TENSORS)
        description = folder / f".{DESCRIPTION}.{os.getpid()}"
        tables.write_json(description, described)
        os.replace(description, folder / DESCRIPTION)

    @classmethod
    def load(cls, folder: Path, recommender: Recommender) -> "Reranker":
        """Read what ``save`` wrote.

        Args:
            folder: The re-ranker's.
            recommender: Of the same model folder; it may have been extended.

        Raises:
            DataError: A file is missing, damaged, or of another model.
        """
        try:
            return _read(folder, recommender)
        except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
            raise DataError(
                f"{folder} holds no usable re-ranker: {error}. It has {TENSORS} and {DESCRIPTION} "
                "of the training run that wrote the model beside it. Run the train stage again, "
                "or delete this folder to serve without re-ranker."
            ) from error


def find(model: Path, recommender: Recommender) -> Reranker | None:
    """Return the re-ranker of a model folder, if it has one.

    Raises:
        DataError: It is damaged or of another model.
    """
    folder = model / artifacts.RERANKER
    return Reranker.load(folder, recommender) if folder.is_dir() else None


def features_of(recommender: Recommender) -> PairFeatures:
    """Return the plain features over a recommender's items."""
    return PairFeatures(recommender.module.cold.features, recommender.text_width)


def _read(folder: Path, recommender: Recommender) -> Reranker:
    described = tables.read_json(folder / DESCRIPTION)
    if described["format"] != FORMAT:
        raise ValueError(f"format {described['format']}, this version reads {FORMAT}")
    if described["features"] != list(NAMES):
        raise ValueError(f"features {described['features']}, this version computes {list(NAMES)}")
    if _sha256(folder / TENSORS) != described["tensors_sha256"]:
        raise ValueError(f"{TENSORS} is not the file {DESCRIPTION} describes")
    n_items, width = described["n_items"], described["text_width"]
    if n_items > recommender.n_items or width != recommender.text_width:
        raise ValueError(
            f"made for {n_items} items with text vectors of width {width}, the model has "
            f"{recommender.n_items} and {recommender.text_width}"
        )
    raw = described["settings"]
    settings = Settings(
        **raw
        | {
            "units": Units(**raw["units"]),
            "student": StudentConfig.model_validate(raw["student"]),
        }
    )
    state = load_file(folder / TENSORS)
    own = {n.removeprefix("student."): t for n, t in state.items() if n.startswith("student.")}
    student = Student(features_of(recommender), settings.student, own["mean"], own["spread"])
    student.load_state_dict(own)
    return Reranker(
        student.requires_grad_(False).eval(),
        state["statistics"],
        state["absent"],
        settings,
        described["report"],
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
