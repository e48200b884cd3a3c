"""What a model makes of the vectors of the modalities: a matrix each, in the order of its items."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from counterpoint import columns
from counterpoint.config.train import TrainConfig
from counterpoint.errors import ConfigError, DataError
from counterpoint.item_features import Modality, unit_rows

logger = logging.getLogger(__name__)

Frames = Mapping[str, pl.DataFrame]
"""Name of a modality -> rows of ``columns.VECTORS``."""


@dataclass(frozen=True)
class Content:
    """A modality and the vectors of the items.

    Attributes:
        modality: How the vectors were prepared.
        vectors: (N, D), as of ``Modality.prepare``.
    """

    modality: Modality
    vectors: npt.NDArray[np.float32]


def learn(frames: Frames, item_ids: Sequence[str], config: TrainConfig) -> list[Content]:
    """Return the modalities that some item has a vector of, in the order of their names.

    Args:
        frames: Vectors of any items; of rows with one id the first counts.
        item_ids: (N,) items of the model.
        config: Weights.

    Raises:
        ConfigError: The configuration names a modality that the data do not have.
        DataError: Vectors of one modality differ in width, or hold NaN or infinity.
    """
    settings = {
        "train.tower.modality_gates": config.tower.modality_gates,
        "train.cold.modality_weights": config.cold.modality_weights,
    }
    if faults := [
        f"{setting} names the modality {name!r}; the data have {', '.join(frames) or 'none'}. "
        "Correct the name, or give its vectors (ingest.modalities)."
        for setting, given in settings.items()
        for name in given
        if name not in frames
    ]:
        raise ConfigError(faults)
    found = []
    for name in sorted(frames):
        raw = matrix(frames[name], item_ids, name=name)
        units = unit_rows(raw, name)
        known = np.flatnonzero(units.any(1))
        if not len(known):
            logger.warning("Training without %s: no item has a vector", name)
            continue
        logger.info("%s: %d of %d items have a vector", name, len(known), len(units))
        weight = config.cold.modality_weights.get(name, config.cold.modality_weight)
        centre = units[known].mean(0).astype(np.float32)
        modality = Modality(name, weight, tuple(map(float, centre)))
        found.append(Content(modality, modality.prepare(raw)))
    return found


def prepared(
    modalities: Iterable[Modality], frames: Frames, item_ids: Sequence[str]
) -> list[tuple[float, npt.NDArray[np.float32]]]:
    """Return weight and (N, D) vectors of each modality of a model for further items.

    Args:
        modalities: Those of the model; one without a frame: no item has such a vector.
        frames: Vectors of any items.
        item_ids: (N,) items.

    Raises:
        DataError: The model does not know a modality, or a vector has another width.
    """
    known = {modality.name: modality for modality in modalities}
    if unknown := sorted(set(frames) - set(known)):
        raise DataError(
            f"The model was trained without the modality {unknown[0]!r}; it reads "
            f"{', '.join(known) or 'none'}. Leave it out, or train again with ingest.modalities."
        )
    out = []
    for name, modality in known.items():
        rows = np.zeros((len(item_ids), modality.width), dtype=np.float32)
        if name in frames and len(frames[name]):
            rows = matrix(frames[name], item_ids, name=name, width=modality.width)
        out.append((modality.weight, modality.prepare(rows)))
    return out


def readable(modalities: Iterable[Modality], frames: Frames) -> dict[str, pl.DataFrame]:
    """Return the frames that an older model can read; a warning names the others."""
    known = {modality.name: modality.width for modality in modalities}
    out = {}
    for name, frame in frames.items():
        widths = set(frame[columns.VECTOR].list.len().unique())
        if name in known and widths <= {known[name]}:
            out[name] = frame
        else:
            logger.warning(
                "The model cannot read the vectors of %s (%s numbers): it knows %s",
                name,
                ", ".join(map(str, sorted(widths))),
                ", ".join(f"{other} ({width})" for other, width in known.items()) or "none",
            )
    return out


def matrix(
    frame: pl.DataFrame, item_ids: Sequence[str], *, name: str, width: int | None = None
) -> npt.NDArray[np.float32]:
    """Return (N, D) vectors in the order of the items, zero where an item has none.

    Args:
        frame: ``columns.VECTORS``; of rows with one id the first counts.
        item_ids: (N,) items.
        name: Of the modality, for messages.
        width: D; none: that of the first vector.

    Raises:
        DataError: A vector has another width.
    """
    place = pl.DataFrame({columns.ITEM: list(item_ids)}, schema={columns.ITEM: pl.String})
    found = (
        frame.select(pl.col(n).cast(dtype) for n, dtype in columns.VECTORS.items())
        .drop_nulls()
        .unique(columns.ITEM, keep="first", maintain_order=True)
        .join(place.with_row_index("_place"), on=columns.ITEM, how="inner")
    )
    lengths = found[columns.VECTOR].list.len()
    wide = width if width is not None else int(lengths[0]) if len(found) else 0
    if len(wrong := found.filter(lengths != wide)):
        raise DataError(
            f"The vector of item {wrong[columns.ITEM][0]!r} of modality {name!r} has "
            f"{len(wrong[columns.VECTOR][0])} numbers, where {wide} are needed. Give vectors of "
            "one encoder."
        )
    out = np.zeros((len(place), wide), dtype=np.float32)
    if len(found) and wide:
        out[found["_place"].to_numpy()] = (
            found[columns.VECTOR].explode().to_numpy().reshape(-1, wide)
        )
    return out
