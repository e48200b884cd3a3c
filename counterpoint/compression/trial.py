"""Builds variants of the item encoder, measures them on new items and judges them."""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from counterpoint import artifacts, onnx_files
from counterpoint.bootstrap import paired_interval
from counterpoint.compression import gate, neighbours, new_items
from counterpoint.compression.build import Builder
from counterpoint.compression.form import Form
from counterpoint.compression.gate import Measured
from counterpoint.compression.new_items import HiddenItems
from counterpoint.compression.unsupported import Unsupported
from counterpoint.compression.variants import Variant
from counterpoint.config.compression import CompressionConfig
from counterpoint.errors import DataError
from counterpoint.gate import Reason
from counterpoint.histories import Histories
from counterpoint.recommender import Recommender

logger = logging.getLogger(__name__)

BATCHES = {1: 30, 8: 10, 32: 5}
"""Batch size -> batches timed."""


@dataclass(frozen=True)
class Judged:
    """A variant and what came of it.

    Attributes:
        name: Its name.
        measured: None where it could not be built.
        reasons: The gate's conditions.
        form: Where it lies; None where it could not be built.
    """

    name: str
    measured: Measured | None
    reasons: Sequence[Reason]
    form: Form | None = field(default=None, compare=False)

    @property
    def accepted(self) -> bool:
        """Whether it may be served."""
        return self.measured is not None and all(reason.passed for reason in self.reasons)


class Trial:
    """Measures forms of an encoder on the items and users of a trained model.

    Args:
        recommender: The model.
        histories: All users with all they did.
        texts: (N,) texts of the model's items.
        whole: The uncompressed form.
        builder: Builds the variants.
        config: Sample, margins.

    Raises:
        DataError: Fewer than two items have a text.
    """

    def __init__(
        self,
        recommender: Recommender,
        histories: Histories,
        texts: Sequence[str],
        whole: Form,
        builder: Builder,
        config: CompressionConfig,
    ) -> None:
        self._texts = np.array(texts, dtype=object)
        self._builder, self._config = builder, config
        described = self._texts != ""
        if described.sum() < 2:
            raise DataError(
                f"{described.sum()} items have a text; two at least are needed to compare "
                "encoders. Empty export.compression.variants."
            )
        parts = new_items.draw(
            recommender,
            histories,
            described,
            most=config.max_texts,
            folds=config.folds,
            seed=config.seed,
        )
        self._folds: list[HiddenItems] = [
            new_items.hide(recommender, histories, part, users=config.users, seed=config.seed)
            for part in parts
        ]
        self._n_users = len(histories)
        self._items = np.concatenate([fold.items for fold in self._folds])
        sample = self._texts[self._items]
        self._distinct = np.unique(sample, return_index=True)[1]
        self._reference = whole.encode(list(sample), "Encode with fp32")
        self._reference_ndcg = self._ndcg(self._reference)
        self.whole = self._measure(whole, self._reference)

    def judge(self, variant: Variant) -> Judged:
        """Build, measure and judge a variant."""
        try:
            form = self._builder.build(variant, self._known())
            vectors = self._vectors(variant, form)
        except Unsupported as error:
            logger.info("%s cannot be built: %s", variant.name, error)
            why = Reason("fits the encoder", False, f"It cannot be built: {error}.", judged=False)
            return Judged(variant.name, None, [why])
        measured = self._measure(form, vectors)
        found = Judged(variant.name, measured, gate.judge(measured, self._config), form)
        logger.info("%s: %s", found.name, "accepted" if found.accepted else "refused")
        return found

    def _vectors(self, variant: Variant, form: Form) -> npt.NDArray[np.float32]:
        """Encode each item as if it were new: its own words have no share in the vocabulary."""
        label = f"Encode with {variant.name}"
        if not variant.vocabulary:
            return form.encode(list(self._texts[self._items]), label)
        parts = []
        for place, fold in enumerate(self._folds, start=1):
            fitted = self._builder.build(variant, self._known(fold.items))
            texts = list(self._texts[fold.items])
            parts.append(fitted.encode(texts, f"{label} ({place} of {len(self._folds)})"))
            shutil.rmtree(fitted.folder)
        return np.concatenate(parts)

    def _known(self, hidden: npt.NDArray[np.int64] | None = None) -> list[str]:
        """The texts of all items but the hidden ones."""
        stays = self._texts != ""
        if hidden is not None:
            stays[hidden] = False
        return list(self._texts[stays])

    def _measure(self, form: Form, vectors: npt.NDArray[np.float32]) -> Measured:
        config = self._config
        cosine = neighbours.cosines(self._reference, vectors)
        values = self._ndcg(vectors)
        texts = list(self._texts[self._items])
        return Measured(
            megabytes=form.megabytes,
            milliseconds={
                size: form.milliseconds(texts, size=size, repeats=repeats)
                for size, repeats in BATCHES.items()
            },
            cosine=float(cosine.mean()),
            least_cosine=float(cosine.min()),
            overlap=neighbours.overlap(self._reference[self._distinct], vectors[self._distinct]),
            ndcg=_mean(values),
            reference_ndcg=_mean(self._reference_ndcg),
            difference=paired_interval(
                values,
                self._reference_ndcg,
                resamples=config.resamples,
                confidence=config.confidence,
                seed=config.seed,
            ),
        )

    def _ndcg(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return the (U,) mean over the parts a user is judged on; NaN for nobody."""
        total, count = np.zeros(self._n_users), np.zeros(self._n_users)
        start = 0
        for fold in self._folds:
            stop = start + len(fold.items)
            # A vector that is no number tells nothing about its item.
            total[fold.users] += fold.ndcg(np.nan_to_num(vectors[start:stop], posinf=0, neginf=0))
            count[fold.users] += 1
            start = stop
        with np.errstate(invalid="ignore"):
            return np.asarray(total / count)


def first_accepted(trial: Trial, variants: Sequence[Variant]) -> list[Judged]:
    """Judge variants in order of preference until one is accepted."""
    found: list[Judged] = []
    for variant in variants:
        found.append(trial.judge(variant))
        if found[-1].accepted:
            break
    return found


def keep(accepted: Judged, folder: Path) -> None:
    """Replace the form in a folder by an accepted one."""
    assert accepted.form is not None
    # The former graph may have had a second file.
    onnx_files.beside(folder / artifacts.ITEM_ENCODER_ONNX).unlink(missing_ok=True)
    for path in accepted.form.folder.iterdir():
        if path.is_file():
            shutil.copyfile(path, folder / path.name)


def _mean(values: npt.NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
