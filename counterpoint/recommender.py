"""A trained recommender as a value: scoring, recommending, adding items, saving and loading."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from counterpoint import columns, model_folder, tables
from counterpoint.cold import ColdExtension, item_features
from counterpoint.config.train import ColdConfig
from counterpoint.errors import DataError
from counterpoint.graph import RecommenderModule
from counterpoint.histories import Histories
from counterpoint.modalities import Frames, prepared
from counterpoint.model_folder import Settings, Stored
from counterpoint.model_inputs import Inputs, pad
from counterpoint.text import item_texts
from counterpoint.topk import top_k

__all__ = ["Inputs", "Recommender", "Settings"]

SecondLook = Callable[[Histories, npt.NDArray[np.float32]], npt.NDArray[np.float32]]
"""Users and their (U, N) scores, -inf for what is barred -> scores in another order."""

MAX_SCORES = 4_000_000
MAX_PAIRS = 16_000_000
"""Bounds of (users x items) and (users x history x history) held at once."""

KEPT = (columns.ITEM, columns.TITLE, columns.ATTRIBUTES)
"""Columns of a model's items.parquet."""


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

    @property
    def text_width(self) -> int:
        """T: width of the text vectors; 0 without text."""
        others = sum(modality.width for modality in self.settings.modalities)
        return self.module.cold.width - others - len(self.settings.item_vocabulary)

    def inputs(self, histories: Histories) -> Inputs:
        """Pad a batch of histories to its longest, keeping the newest ``history_length`` events."""
        return pad(histories, self.settings.profile, self.settings.history_length)

    def score(self, histories: Histories) -> npt.NDArray[np.float32]:
        """Return (U, N) scores, higher is better; nothing is excluded."""
        out = np.empty((len(histories), self.n_items), dtype=np.float32)
        for users, scores in self._scores(histories):
            out[users] = scores
        return out

    def tastes(self, histories: Histories) -> npt.NDArray[np.float32]:
        """Return (U, F + 2): what scores items added later, see ``ColdExtension.taste``."""
        out = np.empty((len(histories), self.module.cold.width + 2), dtype=np.float32)
        with torch.inference_mode():
            for users, inputs in self._batches(histories):
                out[users] = self.module.taste(self.module.parts(*inputs)).numpy()
        return out

    def _scores(
        self, histories: Histories
    ) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]]:
        """Yield user indices and their scores."""
        with torch.inference_mode():
            for users, inputs in self._batches(histories):
                yield users, self.module.scores(*inputs).numpy()

    def _batches(
        self, histories: Histories
    ) -> Iterator[tuple[npt.NDArray[np.int64], list[torch.Tensor]]]:
        """Yield user indices and their inputs, users of similar history length together."""
        lengths = np.minimum(np.diff(histories.indptr), self.settings.history_length)
        order = np.argsort(lengths, kind="stable")
        stop = len(order)
        while stop > 0:
            longest = int(lengths[order[stop - 1]]) + 1
            size = min(MAX_SCORES // self.n_items, MAX_PAIRS // longest**2)
            users = order[max(0, stop - max(size, 1)) : stop]
            stop -= len(users)
            batch = self.inputs(histories.take(users))
            yield (
                users,
                [
                    torch.from_numpy(batch.history),
                    torch.from_numpy(batch.history_age),
                    torch.from_numpy(batch.history_kind),
                    torch.from_numpy(batch.profile),
                ],
            )

    def recommend(
        self,
        histories: Histories,
        k: int,
        *,
        exclude_seen: bool = True,
        candidates: Sequence[str] | None = None,
        second_look: SecondLook | None = None,
    ) -> pl.DataFrame:
        """Return the best k items of each user as columns.RECOMMENDATIONS.

        Args:
            histories: Any users; an empty history gives the start page of the profile.
            k: Longest list; shorter where fewer items are left.
            exclude_seen: Leave out the items of the history.
            candidates: Only these items may be recommended.
            second_look: Reorders the best items (reranker/blend.py).

        Raises:
            DataError: A candidate is not in the catalogue.
        """
        allowed = self._candidates(candidates)
        ids = np.array(self.item_ids, dtype=object)
        parts = []
        for users, scores in self._scores(histories):
            scores = np.where(allowed, scores, -np.inf).astype(np.float32)
            chunk = histories.take(users)
            if exclude_seen:
                scores[chunk.owners, chunk.items] = -np.inf
            if second_look is not None:
                scores = second_look(chunk, scores)
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
        self,
        items: pl.DataFrame,
        *,
        vectors: npt.NDArray[np.float32] | None = None,
        modalities: Frames | None = None,
    ) -> "Recommender":
        """Return a recommender that knows further items from text, modalities and attributes.

        Items it already knows are skipped. A new item of which nothing is known scores below all
        others.

        Args:
            items: Canonical items (absent columns count as null).
            vectors: (len(items), T) text vectors, if the caller has them already; else the encoder
                of the settings computes them.
            modalities: Name of a modality -> item_id and vector of any of these items.

        Raises:
            DataError: A vector does not fit the model's modalities.
        """
        index = self.item_index
        new = ~items[columns.ITEM].is_in(list(index)) & items[columns.ITEM].is_first_distinct()
        if not new.any():
            return self
        added = tables.conform(items.filter(new), columns.ITEMS, table="items")
        text = None if vectors is None else vectors[new.to_numpy()]
        return self.with_items(added, self.features(added, text, modalities))

    def features(
        self,
        items: pl.DataFrame,
        vectors: npt.NDArray[np.float32] | None = None,
        modalities: Frames | None = None,
    ) -> npt.NDArray[np.float32]:
        """Return the (len(items), F) cold features of canonical items; arguments as of `extend`."""
        width = self.text_width
        if vectors is not None:
            text = vectors
        elif self.settings.encoder is None or width == 0:
            text = np.zeros((len(items), width), dtype=np.float32)
        else:
            # Only here is the language model needed: loading a recommender stays light.
            from counterpoint.encoder import TextEncoder

            text = TextEncoder(self.settings.encoder).encode(item_texts(items))
        return item_features(
            text,
            [list(tokens or ()) for tokens in items[columns.ATTRIBUTES].to_list()],
            self.settings.item_vocabulary,
            ColdConfig(attribute_weight=self.settings.attribute_weight),
            prepared(self.settings.modalities, modalities or {}, items[columns.ITEM].to_list()),
        )

    def with_items(self, added: pl.DataFrame, features: npt.NDArray[np.float32]) -> "Recommender":
        """Return a recommender with further items.

        Args:
            added: (M,) canonical rows of items it does not know.
            features: (M, F), as of ``features``.
        """
        old = self.module.cold
        cold = ColdExtension(
            old.warm,
            old.ridge_map,
            torch.cat([old.features, torch.from_numpy(features)]),
            boost=old.boost,
        )
        old_module = self.module
        module = RecommenderModule(
            old_module.tower,
            old_module.linear_parts,
            old_module.factors,
            old_module.prior,
            cold,
            old_module.weights,
        ).eval()
        return replace(self, module=module, items=pl.concat([self.items, added.select(KEPT)]))

    def save(self, folder: Path) -> None:
        """Write the model folder, see ``model_folder.write``."""
        model_folder.write(Stored(self.module, self.items, self.settings, self.report), folder)

    @classmethod
    def load(cls, folder: Path) -> "Recommender":
        """Read a model folder.

        Raises:
            DataError: A file is missing, damaged, or does not belong to the others.
        """
        stored = model_folder.read(folder)
        return cls(stored.module, stored.items, stored.settings, stored.report)
