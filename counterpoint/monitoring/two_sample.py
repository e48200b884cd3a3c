"""Two-sample tests between window and reference, by redrawing the users' slices (units.py)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.stats import rankdata

from counterpoint.monitoring.units import Floats, Labels, Units, redraw

PSEUDO_COUNT = 0.5
"""Added to every bin, so that an empty bin gives a finite index."""

USUAL_QUANTILE = 0.9
"""The usual variation is this quantile over the slices of the reference."""

MIN_SLICES = 3
"""With fewer slices the reference says nothing about its own variation."""


@dataclass(frozen=True)
class Difference:
    """How far the window lies from the reference.

    Attributes:
        effect: Size of the difference, free of the part that chance alone gives.
        p_value: Randomisation p-value, at least 1 / (draws + 1).
        usual: The same size between slices of the reference: what is normal here.
    """

    effect: float
    p_value: float
    usual: float


def psi(reference: Floats, current: Floats) -> Floats:
    """Population stability index of the last axis: sum of (p - q) log(p / q) over B bins.

    Args:
        reference: (..., B) counts.
        current: (..., B) counts.
    """
    p, q = (
        (x + PSEUDO_COUNT) / (x.sum(axis=-1, keepdims=True) + PSEUDO_COUNT * x.shape[-1])
        for x in (reference, current)
    )
    return np.asarray(((p - q) * np.log(p / q)).sum(axis=-1), dtype=np.float64)


def stability(
    blocks: Mapping[str, sp.csr_matrix], units: Units, *, draws: int, min_units: int, seed: int
) -> dict[str, Difference]:
    """Compare distributions by the population stability index in excess of its chance value.

    The index of two samples of one distribution is not zero: it grows with the number of bins and
    shrinks with the number of users. Its mean under the null is therefore subtracted.

    Args:
        blocks: Name -> (n, B) counts of the units' events per bin.
        units: The n units.
        draws: Randomisations.
        min_units: Smaller slices of the reference are not used for the usual variation.
        seed: Of the randomisation.
    """
    counts = sp.hstack(list(blocks.values()), format="csr", dtype=np.float64)
    total = np.asarray(counts.sum(axis=0)).ravel()
    ends = np.cumsum([block.shape[1] for block in blocks.values()])

    def measure(labels: Labels, whole: Floats) -> Floats:
        inside = np.asarray((counts.T @ labels.T.astype(np.float64)).T)
        parts = zip(
            np.split(whole - inside, ends[:-1], axis=-1),
            np.split(inside, ends[:-1], axis=-1),
            strict=True,
        )
        return np.stack([psi(outside, within) for outside, within in parts], axis=-1)

    observed = measure(units.current[None], total)[0]
    null = np.concatenate(
        [measure(labels, total) for labels in redraw(units, draws=draws, seed=seed)]
    )
    chance = null.mean(axis=0)
    usual = _usual(
        units,
        min_units,
        lambda inside, among: measure(
            inside[None], np.asarray(counts.T @ among.astype(np.float64)).ravel()
        )[0],
        chance,
    )
    return {
        name: Difference(
            float(observed[i] - chance[i]),
            float((1 + (null[:, i] >= observed[i] - 1e-12).sum()) / (1 + draws)),
            float(usual[i]),
        )
        for i, name in enumerate(blocks)
    }


def _usual(
    units: Units, min_units: int, measure: Callable[[Labels, Labels], Floats], chance: Floats
) -> Floats:
    """Usual size of a difference: each slice of the reference against its other slices."""
    slices = units.reference_slices(min_units)
    if len(slices) < MIN_SLICES:
        return np.zeros_like(chance)
    among = ~units.current
    n_current, n_reference = units.current.sum(), among.sum()
    sizes = []
    for number in slices:
        inside = units.slices == number
        # The chance value of an index is proportional to 1/n + 1/m.
        scale = (1 / inside.sum() + 1 / max(1, n_reference - inside.sum())) / (
            1 / n_current + 1 / n_reference
        )
        sizes.append(measure(inside, among) - chance * scale)
    return np.maximum(0.0, np.quantile(np.stack(sizes), USUAL_QUANTILE, axis=0))


def classifier(
    vectors: npt.NDArray[np.float32],
    units: Units,
    *,
    draws: int,
    min_units: int,
    seed: int,
    components: int = 32,
) -> Difference:
    """Classifier two-sample test (Lopez-Paz and Oquab, 2017): can one tell the window apart?

    The classifier is a ridge regression on the principal components of the units' mean vectors
    (the linear discriminant), judged by the AUC of its leave-one-out predictions. Those are a
    closed form of the labels, so every redrawn labelling trains its own classifier and the p-value
    counts the whole procedure.

    Args:
        vectors: (n, D) mean text vector of each unit's items.
        units: The n units.
        draws: Randomisations.
        min_units: Smaller slices of the reference are not used for the usual variation.
        seed: Of the randomisation.
        components: Principal components kept.

    Returns:
        ``effect`` and ``usual`` are AUCs.
    """
    hat = _Hat(vectors, components)
    observed = hat.auc(units.current[None])[0]
    null = np.concatenate([hat.auc(labels) for labels in redraw(units, draws=draws, seed=seed)])
    usual = 0.5
    slices = units.reference_slices(min_units)
    if len(slices) >= MIN_SLICES:
        among = ~units.current
        inner = _Hat(vectors[among], components)
        aucs = inner.auc(np.stack([units.slices[among] == number for number in slices]))
        usual = max(usual, float(np.quantile(aucs, USUAL_QUANTILE)))
    p_value = (1 + (null >= observed - 1e-12).sum()) / (1 + draws)
    return Difference(float(observed), float(p_value), usual)


class _Hat:
    """The linear map from labels to leave-one-out predictions of a ridge regression."""

    def __init__(self, vectors: npt.NDArray[np.float32], components: int) -> None:
        centred = vectors.astype(np.float64) - vectors.mean(axis=0)
        # The Gram matrix of the columns is small (D, D) whatever the number of units.
        values, axes = np.linalg.eigh(centred.T @ centred)
        axes = axes[:, ::-1][:, :components]
        values = np.maximum(values[::-1][:components], 0.0)
        ridge = max(float(values.mean()) * 0.1, 1e-12)
        self.left = centred @ axes
        self.right = self.left / (values + ridge)
        self.leverage = (self.left * self.right).sum(axis=1)

    def auc(self, labels: Labels) -> Floats:
        """(P,) AUC of the leave-one-out predictions for (P, n) labels."""
        target = labels - labels.mean(axis=1, keepdims=True)
        fitted = (target @ self.right) @ self.left.T
        scores = (fitted - self.leverage * target) / (1 - self.leverage)
        positives = labels.sum(axis=1)
        negatives = labels.shape[1] - positives
        ranks = (rankdata(scores, axis=1) * labels).sum(axis=1)
        pairs = np.maximum(1, positives * negatives)
        return np.asarray((ranks - positives * (positives + 1) / 2) / pairs, dtype=np.float64)


def share_increase(
    part: Floats, whole: Floats, units: Units, *, draws: int, min_units: int, seed: int
) -> tuple[float, float, Difference]:
    """Test whether sum(part) / sum(whole) is larger in the window than in the reference.

    Args:
        part: (n,) such as a unit's events on unknown items.
        whole: (n,) such as all its events.
        units: The n units.
        draws: Randomisations.
        min_units: Smaller slices of the reference are not used for the usual variation.
        seed: Of the randomisation.

    Returns:
        The share in the reference, the share in the window, and their one-sided difference.
    """

    def shares(labels: Labels) -> tuple[Floats, Floats]:
        inside, outside = labels.astype(np.float64), (~labels).astype(np.float64)
        return (
            outside @ part / np.maximum(outside @ whole, 1e-12),
            inside @ part / np.maximum(inside @ whole, 1e-12),
        )

    before, now = (float(share[0]) for share in shares(units.current[None]))
    null = np.concatenate(
        [np.subtract(*shares(labels)[::-1]) for labels in redraw(units, draws=draws, seed=seed)]
    )
    p_value = (1 + (null >= now - before - 1e-12).sum()) / (1 + draws)
    slices = units.reference_slices(min_units)
    by_slice = [float(shares(units.slices == number)[1]) for number in slices]
    usual = max(by_slice, default=before) - before
    return before, now, Difference(now - before, float(p_value), usual)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for the number of tests (Holm, 1979): controls the family-wise error rate."""
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(np.asarray(p_values)[order] * factors))
    return [float(p) for p in adjusted]
