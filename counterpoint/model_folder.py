"""A recommender on disk: tensors, settings and items that belong together, without pickle."""

import hashlib
import os
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from counterpoint import artifacts, tables
from counterpoint.cold import ColdExtension
from counterpoint.config.linear import Weighting
from counterpoint.config.train import EncoderConfig
from counterpoint.errors import DataError
from counterpoint.factors import FactorScorer
from counterpoint.fusion import FusionWeights
from counterpoint.graph import RecommenderModule
from counterpoint.item_features import Modality
from counterpoint.landmarks import Landmarks
from counterpoint.linear import LinearScorer
from counterpoint.prior import PriorScorer
from counterpoint.text import TEMPLATE_VERSION
from counterpoint.tower_scorer import TowerScorer
from counterpoint.towers import UserTower

FORMAT = 2


@dataclass(frozen=True)
class FactorSettings:
    """What the fold-in of ``FactorScorer`` needs beside the factors."""

    confidence: float
    l2: float


@dataclass(frozen=True)
class Settings:
    """Everything of model.json that rebuilds the module and reads its inputs.

    Attributes:
        dim: Width of the towers.
        pools: Decay lengths of the recency pools.
        linears: History weighting of each linear part.
        factors: Confidence and ridge of the matrix factorisation; none: there is none.
        boost: Added to the scores of cold items.
        fusion: Weights of the scorers.
        profile: Profile vocabulary, in the order of the input tensor.
        item_vocabulary: Item attribute tokens of the cold features.
        attribute_weight: Weight of the attributes in the cold kernel.
        history_length: Newest events that are read.
        encoder: Settings of the text encoder; none: trained without text.
        encoder_sha256: Its weights.
        encoder_trained: It was trained for this model, whose folder holds it.
        template: Version of the text templates.
        attributes: How raw user and item attributes become tokens (``dataset.json``).
        modalities: Precomputed vectors in the cold features, between text and attributes.
    """

    dim: int
    pools: tuple[float, ...]
    linears: tuple[Weighting, ...]
    factors: FactorSettings | None
    boost: float
    fusion: FusionWeights
    profile: tuple[str, ...]
    item_vocabulary: tuple[str, ...]
    attribute_weight: float
    history_length: int
    encoder: EncoderConfig | None = None
    encoder_sha256: str | None = None
    encoder_trained: bool = False
    template: int = TEMPLATE_VERSION
    attributes: dict[str, Any] = field(default_factory=dict)
    modalities: tuple[Modality, ...] = ()


@dataclass(frozen=True)
class Stored:
    """The content of a model folder.

    Attributes:
        module: The graph.
        items: (N,) rows of item_id, title, attributes in index order.
        settings: See ``Settings``.
        report: How it was trained; the curves lie in a file of their own.
    """

    module: RecommenderModule
    items: pl.DataFrame
    settings: Settings
    report: dict[str, Any]


def write(stored: Stored, folder: Path) -> None:
    """Write model.safetensors, items.parquet and, last, model.json, each atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    # Copies, for two linear parts may share the tensor of the items they cover.
    state = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in stored.module.state_dict().items()
    }
    tensors = folder / f".{artifacts.MODEL_TENSORS}.{os.getpid()}"
    save_file(state, tensors)
    encoder = stored.settings.encoder
    if encoder is not None and stored.settings.encoder_trained:
        encoder = _own(encoder, folder)
    description = {
        "format": FORMAT,
        "settings": asdict(stored.settings)
        | {
            "encoder": encoder and encoder.model_dump(mode="json"),
            "linears": [how.model_dump() for how in stored.settings.linears],
        },
        "n_items": len(stored.items),
        "tensors_sha256": _sha256(tensors),
        "report": {name: value for name, value in stored.report.items() if name != "curves"},
    }
    os.replace(tensors, folder / artifacts.MODEL_TENSORS)
    items = folder / f".{artifacts.ITEMS}.{os.getpid()}"
    stored.items.write_parquet(items)
    os.replace(items, folder / artifacts.ITEMS)
    model = folder / f".{artifacts.MODEL}.{os.getpid()}"
    tables.write_json(model, description)
    os.replace(model, folder / artifacts.MODEL)


def _own(encoder: EncoderConfig, folder: Path) -> EncoderConfig:
    """Copy a trained encoder into the folder; return settings that name it from there."""
    source, target = Path(str(encoder.model)), folder / artifacts.TRAINED_ENCODER
    if source.resolve() != target.resolve():
        making = folder / f".{artifacts.TRAINED_ENCODER}.{os.getpid()}"
        shutil.copytree(source, making)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(making, target)
    return encoder.model_copy(update={"model": artifacts.TRAINED_ENCODER})


def read(folder: Path) -> Stored:
    """Read a model folder.

    Raises:
        DataError: A file is missing, damaged, or does not belong to the others.
    """
    try:
        return _read(folder)
    except (
        OSError,
        KeyError,
        TypeError,
        ValueError,
        RuntimeError,
        SafetensorError,
        pl.exceptions.PolarsError,
    ) as error:
        raise DataError(
            f"{folder} holds no usable model: {error}. A model folder has "
            f"{artifacts.MODEL_TENSORS}, {artifacts.MODEL} and {artifacts.ITEMS} of one "
            "training run. Run the train stage again or restore the folder."
        ) from error


def _read(folder: Path) -> Stored:
    description = tables.read_json(folder / artifacts.MODEL)
    if description["format"] != FORMAT:
        raise ValueError(f"format {description['format']}, this version reads {FORMAT}")
    if _sha256(folder / artifacts.MODEL_TENSORS) != description["tensors_sha256"]:
        raise ValueError(f"{artifacts.MODEL_TENSORS} is not the file {artifacts.MODEL} describes")
    items = pl.read_parquet(folder / artifacts.ITEMS)
    if len(items) != description["n_items"]:
        raise ValueError(f"{len(items)} items, {artifacts.MODEL} has {description['n_items']}")
    raw = description["settings"]
    settings = Settings(
        **raw
        | {
            "pools": tuple(raw["pools"]),
            "profile": tuple(raw["profile"]),
            "item_vocabulary": tuple(raw["item_vocabulary"]),
            "linears": tuple(Weighting.model_validate(how) for how in raw["linears"]),
            "factors": FactorSettings(**raw["factors"]) if raw["factors"] else None,
            "fusion": FusionWeights(**raw["fusion"] | {"linears": tuple(raw["fusion"]["linears"])}),
            "modalities": tuple(map(Modality.of, raw.get("modalities", ()))),
            "encoder": raw["encoder"] and EncoderConfig.model_validate(raw["encoder"]),
        }
    )
    if settings.encoder is not None and settings.encoder_trained:
        own = folder / artifacts.TRAINED_ENCODER
        if not own.is_dir():
            raise ValueError(f"its trained text encoder, the folder {own}, is missing")
        encoder = settings.encoder.model_copy(update={"model": str(own)})
        settings = replace(settings, encoder=encoder)
    module = _module(load_file(folder / artifacts.MODEL_TENSORS), settings)
    return Stored(module, items, settings, description["report"])


def _module(tensors: dict[str, torch.Tensor], settings: Settings) -> RecommenderModule:
    n_scored = len(tensors["cold.warm"])
    user = UserTower(n_scored, settings.dim, settings.pools, dropout=0.0)
    mixed = {n: t for n, t in tensors.items() if n.startswith("tower.user.landmarks.")}
    if mixed:
        user.landmarks = Landmarks(**{n.rpartition(".")[2]: t for n, t in mixed.items()})
    module = RecommenderModule(
        TowerScorer(user, tensors["tower.vectors"], tensors["tower.bias"]),
        [
            LinearScorer(
                tensors[f"linears.{place}.items"],
                tensors[f"linears.{place}.weights"],
                n_items=n_scored,
                weighting=weighting,
            )
            for place, weighting in enumerate(settings.linears)
        ],
        None
        if settings.factors is None
        else FactorScorer(
            tensors["factors.factors"],
            confidence=settings.factors.confidence,
            l2=settings.factors.l2,
        ),
        PriorScorer(tensors["prior.base"], tensors["prior.shift"]),
        ColdExtension(
            tensors["cold.warm"],
            tensors["cold.ridge_map"],
            tensors["cold.features"],
            boost=settings.boost,
        ),
        settings.fusion,
    )
    module.load_state_dict(tensors)
    return module.eval()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
