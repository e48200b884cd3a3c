"""A trained recommender as a value: scoring, recommending, adding items, saving and loading."""

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from counterpoint import artifacts, columns, tables
from counterpoint.cold import ColdExtension, item_features
from counterpoint.config.train import ColdConfig, EncoderConfig
from counterpoint.errors import ConfigError, DataError
from counterpoint.fusion import FusionWeights
from counterpoint.graph import OTHER_KIND, POSITIVE_KIND, RecommenderModule, TowerScorer
from counterpoint.histories import Histories
from counterpoint.linear import LinearScorer
from counterpoint.prior import PriorScorer, multi_hot
from counterpoint.text import TEMPLATE_VERSION, item_texts
from counterpoint.topk import top_k
from counterpoint.towers import UserTower

logger = logging.getLogger(__name__)

FORMAT = 1
MAX_SCORES = 4_000_000
MAX_PAIRS = 16_000_000
"""Bounds of (users x items) and (users x history x history) held at once."""


@dataclass(frozen=True)
class Settings:
    """Everything of model.json that rebuilds the module and reads its inputs.

    Attributes:
        dim: Width of the towers.
        pools: Decay lengths of the recency pools.
        recency: Strength of the recency weight of the linear part.
        decay: Its decay length.
        boost: Added to the scores of cold items.
        fusion: Weights of the scorers.
        profile: Profile vocabulary, in the order of the input tensor.
        item_vocabulary: Item attribute tokens of the cold features.
        attribute_weight: Weight of the attributes in the cold kernel.
        history_length: Newest events that are read.
        encoder: Settings of the text encoder; none: trained without text.
        encoder_sha256: Its weights.
        template: Version of the text templates.
        attributes: How raw user and item attributes become tokens (``dataset.json``).
    """

    dim: int
    pools: tuple[float, ...]
    recency: float
    decay: float
    boost: float
    fusion: FusionWeights
    profile: tuple[str, ...]
    item_vocabulary: tuple[str, ...]
    attribute_weight: float
    history_length: int
    encoder: EncoderConfig | None = None
    encoder_sha256: str | None = None
    template: int = TEMPLATE_VERSION
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Inputs:
    """Padded tensors of B users, named as the inputs of the ONNX graph (see graph.py)."""

    history: npt.NDArray[np.int64]
    history_age: npt.NDArray[np.float32]
    history_kind: npt.NDArray[np.int64]
    profile: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Recommender:
    """Scores every item of its catalogue for any history; satisfies ``histories.Scorer``.

    Attributes:
        module: The graph; its forward is the contract of the served model.
        items: (N,) rows of item_id, title, attributes in index order.
        settings: See ``Settings``.
        report: How it was trained: choices with their validation scores, steps, costs, curves.
    """

    module: RecommenderModule
    items: pl.DataFrame
    settings: Settings
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def item_ids(self) -> list[str]:
        """The N item ids in index order."""
        return list(self.items[columns.ITEM])

    @property
    def item_index(self) -> dict[str, int]:
        """Item id -> zero-based index."""
        return {item: index for index, item in enumerate(self.items[columns.ITEM])}

    @property
    def n_items(self) -> int:
        """N."""
        return len(self.items)

    def inputs(self, histories: Histories) -> Inputs:
        """Pad a batch of histories to its longest, keeping the newest ``history_length`` events."""
        return pad(histories, self.settings.profile, self.settings.history_length)

    def score(self, histories: Histories) -> npt.NDArray[np.float32]:
        """Return (U, N) scores, higher is better; nothing is excluded."""
        out = np.empty((len(histories), self.n_items), dtype=np.float32)
        for users, scores in self._scores(histories):
            out[users] = scores
        return out

    def _scores(
        self, histories: Histories
    ) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]]:
        """Yield user indices and their scores, users of similar history length together."""
        lengths = np.minimum(np.diff(histories.indptr), self.settings.history_length)
        order = np.argsort(lengths, kind="stable")
        stop = len(order)
        with torch.inference_mode():
            while stop > 0:
                longest = int(lengths[order[stop - 1]]) + 1
                size = min(MAX_SCORES // self.n_items, MAX_PAIRS // longest**2)
                users = order[max(0, stop - max(size, 1)) : stop]
                stop -= len(users)
                batch = self.inputs(histories.take(users))
                scores = self.module.scores(
                    torch.from_numpy(batch.history),
                    torch.from_numpy(batch.history_age),
                    torch.from_numpy(batch.history_kind),
                    torch.from_numpy(batch.profile),
                )
                yield users, scores.numpy()

    def recommend(
        self,
        histories: Histories,
        k: int,
        *,
        exclude_seen: bool = True,
        candidates: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Return the best k items of each user as columns.RECOMMENDATIONS.

        Args:
            histories: Any users; an empty history gives the start page of the profile.
            k: Longest list; shorter where fewer items are left.
            exclude_seen: Leave out the items of the history.
            candidates: Only these items may be recommended.

        Raises:
            DataError: A candidate is not in the catalogue.
        """
        allowed = self._candidates(candidates)
        ids = np.array(self.item_ids, dtype=object)
        parts = []
        for users, scores in self._scores(histories):
            scores = np.where(allowed, scores, -np.inf).astype(np.float32)
            if exclude_seen:
                chunk = histories.take(users)
                scores[chunk.owners, chunk.items] = -np.inf
            best = top_k(scores, k=k, priority=np.arange(self.n_items))
            row, place = np.nonzero(best >= 0)
            item = best[row, place]
            parts.append(
                pl.DataFrame(
                    {
                        "_user": users[row],
                        columns.ITEM: ids[item].astype(str),
                        columns.RANK: place + 1,
                        columns.SCORE: scores[row, item].astype(np.float64),
                    },
                    schema_overrides={columns.ITEM: pl.String, columns.RANK: pl.Int64},
                )
            )
        if not parts:
            return pl.DataFrame(schema=columns.RECOMMENDATIONS)
        names = pl.DataFrame({columns.USER: list(histories.user_ids)}).with_row_index("_user")
        return (
            pl.concat(parts)
            .join(names.with_columns(pl.col("_user").cast(pl.Int64)), on="_user")
            .sort("_user", columns.RANK)
            .select(pl.col(name).cast(dtype) for name, dtype in columns.RECOMMENDATIONS.items())
        )

    def _candidates(self, candidates: Sequence[str] | None) -> npt.NDArray[np.bool_]:
        if candidates is None:
            return np.ones(self.n_items, dtype=bool)
        index = self.item_index
        unknown = [item for item in candidates if item not in index]
        if unknown:
            raise DataError(
                f"{len(unknown)} candidates are not in the model's catalogue of {self.n_items} "
                f"items, such as {unknown[:3]}. Give their rows of an items table (with text, if "
                "there is any) to Recommender.extend first, or leave them out."
            )
        allowed = np.zeros(self.n_items, dtype=bool)
        allowed[[index[item] for item in candidates]] = True
        return allowed

    def extend(
        self, items: pl.DataFrame, *, vectors: npt.NDArray[np.float32] | None = None
    ) -> "Recommender":
        """Return a recommender that knows further items from their text and attributes.

        Items it already knows are skipped. A new item without text and known attributes scores
        below all others.

        Args:
            items: Canonical items (absent columns count as null).
            vectors: (len(items), T) text vectors, if the caller has them already; else the encoder
                of the settings computes them.
        """
        index = self.item_index
        new = ~items[columns.ITEM].is_in(list(index)) & items[columns.ITEM].is_first_distinct()
        if not new.any():
            return self
        added = tables.conform(items.filter(new), columns.ITEMS, table="items")
        width = self.module.cold.features.shape[1] - len(self.settings.item_vocabulary)
        if vectors is not None:
            text = vectors[new.to_numpy()]
        elif self.settings.encoder is None or width == 0:
            text = np.zeros((len(added), width), dtype=np.float32)
        else:
            # Only here is the language model needed: loading a recommender stays light.
            from counterpoint.encoder import TextEncoder

            text = TextEncoder(self.settings.encoder).encode(item_texts(added))
        features = item_features(
            text,
            [list(tokens or ()) for tokens in added[columns.ATTRIBUTES].to_list()],
            self.settings.item_vocabulary,
            ColdConfig(attribute_weight=self.settings.attribute_weight),
        )
        old = self.module.cold
        cold = ColdExtension(
            old.warm,
            old.ridge_map,
            torch.cat([old.features, torch.from_numpy(features)]),
            boost=old.boost,
        )
        old_module = self.module
        module = RecommenderModule(
            old_module.tower, old_module.linear, old_module.prior, cold, old_module.weights
        ).eval()
        return replace(self, module=module, items=pl.concat([self.items, added.select(KEPT)]))

    def save(self, folder: Path) -> None:
        """Write model.safetensors, items.parquet and, last, model.json, each atomically."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            name: t.detach().cpu().contiguous() for name, t in self.module.state_dict().items()
        }
        tensors = folder / f".{artifacts.MODEL_TENSORS}.{os.getpid()}"
        save_file(state, tensors)
        settings = asdict(self.settings) | {
            "encoder": self.settings.encoder and self.settings.encoder.model_dump(mode="json")
        }
        description = {
            "format": FORMAT,
            "settings": settings,
            "n_items": self.n_items,
            "tensors_sha256": _sha256(tensors),
            "report": {name: v for name, v in self.report.items() if name != "curves"},
        }
        os.replace(tensors, folder / artifacts.MODEL_TENSORS)
        items = folder / f".{artifacts.ITEMS}.{os.getpid()}"
        self.items.write_parquet(items)
        os.replace(items, folder / artifacts.ITEMS)
        model = folder / f".{artifacts.MODEL}.{os.getpid()}"
        tables.write_json(model, description)
        os.replace(model, folder / artifacts.MODEL)

    @classmethod
    def load(cls, folder: Path) -> "Recommender":
        """Read a model folder.

        Raises:
            DataError: A file is missing, damaged, or does not belong to the others.
        """
        try:
            description = tables.read_json(folder / artifacts.MODEL)
            raw = description["settings"]
            if description["format"] != FORMAT:
                raise ValueError(f"format {description['format']}, this version reads {FORMAT}")
            if _sha256(folder / artifacts.MODEL_TENSORS) != description["tensors_sha256"]:
                raise ValueError(f"{artifacts.MODEL_TENSORS} is not the file model.json describes")
            items = pl.read_parquet(folder / artifacts.ITEMS)
            if len(items) != description["n_items"]:
                raise ValueError(f"{len(items)} items, model.json has {description['n_items']}")
            settings = Settings(
                **raw
                | {
                    "pools": tuple(raw["pools"]),
                    "profile": tuple(raw["profile"]),
                    "item_vocabulary": tuple(raw["item_vocabulary"]),
                    "fusion": FusionWeights(**raw["fusion"]),
                    "encoder": raw["encoder"] and EncoderConfig.model_validate(raw["encoder"]),
                }
            )
            module = _module(load_file(folder / artifacts.MODEL_TENSORS), settings)
        except (
            OSError,
            KeyError,
            TypeError,
            ValueError,
            RuntimeError,
            SafetensorError,
            json.JSONDecodeError,
            pl.exceptions.PolarsError,
        ) as error:
            raise DataError(
                f"{folder} holds no usable model: {error}. A model folder has "
                f"{artifacts.MODEL_TENSORS}, {artifacts.MODEL} and {artifacts.ITEMS} of one "
                "training run. Run the train stage again or restore the folder."
            ) from error
        return cls(module, items, settings, description["report"])


KEPT = (columns.ITEM, columns.TITLE, columns.ATTRIBUTES)
"""Columns of a model's items.parquet."""


def pad(histories: Histories, profile: Sequence[str], history_length: int) -> Inputs:
    """Return the padded tensors of a batch; see graph.py for their meaning.

    Args:
        histories: B users.
        profile: Profile vocabulary.
        history_length: Newest events that are kept.
    """
    if history_length < 1:
        raise ConfigError([f"history_length = {history_length} must be at least 1."])
    lengths = np.diff(histories.indptr)
    kept = np.minimum(lengths, history_length)
    width = max(int(kept.max(initial=0)), 1)
    owner = histories.owners
    place = np.arange(len(histories.items)) - (histories.indptr[:-1] + lengths - kept)[owner]
    inside = place >= 0
    row, column = owner[inside], place[inside]
    history = np.zeros((len(histories), width), dtype=np.int64)
    age = np.zeros((len(histories), width), dtype=np.float32)
    kind = np.zeros((len(histories), width), dtype=np.int64)
    history[row, column] = histories.items[inside] + 1
    age[row, column] = histories.ages()[inside]
    kind[row, column] = np.where(histories.positive[inside], POSITIVE_KIND, OTHER_KIND)
    return Inputs(history, age, kind, multi_hot(histories.attributes, profile))


def _module(tensors: dict[str, torch.Tensor], settings: Settings) -> RecommenderModule:
    n_scored = len(tensors["cold.warm"])
    user = UserTower(n_scored, settings.dim, settings.pools, dropout=0.0)
    module = RecommenderModule(
        TowerScorer(user, tensors["tower.vectors"], tensors["tower.bias"]),
        LinearScorer(
            tensors["linear.items"],
            tensors["linear.weights"],
            n_items=n_scored,
            recency=settings.recency,
            decay=settings.decay,
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
