"""The items a version can recommend: those of its graph and those added since, and what bars them.

Indices are one-based, as in the graph; index 0 is padding. Items added while the version serves
(live items) stand behind those of the graph.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from serving.engine import item_table
from serving.engine.item_table import ItemTable, Texts
from serving.engine.live_view import LiveView, Override

Mask = npt.NDArray[np.bool_]
"""(N,) which items, zero-based."""

NEVER_CHANGES = int(np.iinfo(np.int64).max)


class Catalogue:
    """Immutable; ``extended`` returns another one.

    Args:
        table: (N,) items in index order.
        vectors: (N, d) float32 unit vectors for similarity.
        n_graph: Number of items the graph knows, the first ones.
        live: (F + 2, N - n_graph) columns that score the others: scores = taste @ live.
        hidden: One-based items that must not be shown, such as removed ones.
        placing: (F + 1, d) map from an item's features to its vector, the mean last; none: items
            that are added are like no other.
    """

    def __init__(
        self,
        table: ItemTable,
        vectors: npt.NDArray[np.float32],
        *,
        n_graph: int | None = None,
        live: npt.NDArray[np.float32] | None = None,
        hidden: npt.NDArray[np.int64] | None = None,
        placing: npt.NDArray[np.float32] | None = None,
    ) -> None:
        self.placing = placing
        self.table = table
        self.vectors = vectors
        self.n_graph = len(table) if n_graph is None else n_graph
        self.live = live
        nothing = item_table.texts([b""])
        self.ids = np.concatenate([nothing, table.ids])
        self.titles = np.concatenate([nothing, table.titles])
        self.index = {item.decode(): place for place, item in enumerate(table.ids, start=1)}
        self.hidden = np.empty(0, dtype=np.int64) if hidden is None else hidden

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def _owners(self) -> tuple[dict[str, int], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Token -> code, and the items of each code: ``items[starts[code]:starts[code + 1]]``."""
        table = self.table
        order = np.argsort(table.codes, kind="stable")
        rows = np.repeat(np.arange(len(table)), np.diff(table.starts))[order]
        starts = np.searchsorted(table.codes[order], np.arange(len(table.tokens) + 1))
        codes = {token.decode(): code for code, token in enumerate(table.tokens)}
        return codes, starts.astype(np.int64), rows

    def with_tokens(self, tokens: Iterable[str]) -> Mask:
        """Return the items that have any of the attribute tokens."""
        codes, starts, rows = self._owners
        found = np.zeros(len(self), dtype=bool)
        for token in tokens:
            code = codes.get(token)
            if code is not None:
                found[rows[starts[code] : starts[code + 1]]] = True
        return found

    def knows(self, token: str) -> bool:
        """Whether any item has the attribute token."""
        return token in self._owners[0]

    def attributes(self, item: int) -> Texts:
        """Return the attribute tokens of an item (one-based)."""
        table = self.table
        return table.tokens[table.codes[table.starts[item - 1] : table.starts[item]]]

    def tokens(
        self, items: npt.NDArray[np.int64], name: str
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the attributes of one name, such as ``genre``, that some items have.

        Args:
            items: (n,) one-based indices.
            name: Name of the attribute.

        Returns:
            (m,) places in ``items``, ascending, and (m,) codes of the attribute tokens.
        """
        table = self.table
        starts, ends = table.starts[items - 1], table.starts[items]
        counts = ends - starts
        places = np.repeat(np.arange(len(items)), counts)
        offsets = np.arange(len(places)) - np.repeat(np.cumsum(counts) - counts, counts)
        codes = table.codes[np.repeat(starts, counts) + offsets]
        named = self._named(name)[codes] if len(codes) else np.empty(0, dtype=bool)
        return places[named], codes[named]

    def _named(self, name: str) -> Mask:
        known = self._names.get(name)
        if known is None:
            prefix = f"{name}=".encode()
            known = np.array([t.startswith(prefix) for t in self.table.tokens], dtype=bool)
            if known.any():  # Names that no item has would let requests fill the memory.
                self._names[name] = known
        return known

    @cached_property
    def _names(self) -> dict[str, Mask]:
        return {}

    @cached_property
    def _always(self) -> bool:
        table = self.table
        return bool(
            (table.available_from == item_table.ALWAYS_FROM).all()
            and (table.available_until == item_table.ALWAYS_UNTIL).all()
        )

    @cached_property
    def _changes(self) -> npt.NDArray[np.int64]:
        """Moments at which an item comes or goes, ascending."""
        table = self.table
        return np.unique(np.concatenate([table.available_from, table.available_until]))

    def available(self, moment: int) -> tuple[Mask | None, int]:
        """Return what may be shown at a moment, and the first later one at which that changes.

        Args:
            moment: Microseconds since 1970.

        Returns:
            None in place of the mask: everything.
        """
        if self._always:
            return None, NEVER_CHANGES
        table = self.table
        mask = (table.available_from <= moment) & (moment < table.available_until)
        later = int(np.searchsorted(self._changes, moment, side="right"))
        until = int(self._changes[later]) if later < len(self._changes) else NEVER_CHANGES
        return (None if mask.all() else mask), until

    def similarities(self, items: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return the (n, n) cosines of some items (one-based); 1 on the diagonal."""
        vectors = np.asarray(self.vectors[items - 1], dtype=np.float64)
        cosines = vectors @ vectors.T
        np.fill_diagonal(cosines, 1.0)
        return cosines

    def extended(self, view: LiveView) -> "Catalogue":
        """Return this catalogue of graph items as changed by the live ones."""
        table = _changed(self.table, view.overrides) if view.overrides else self.table
        if not view.ids:
            return Catalogue(table, self.vectors, hidden=view.hidden)
        added = item_table.table(
            view.ids,
            titles=view.titles,
            attributes=view.tokens,
            available_from=view.available_from.tolist(),
            available_until=view.available_until.tolist(),
        )
        features = view.features.T
        described = (features != 0).any(0)
        scoring = np.concatenate([features, [described, ~described]]).astype(np.float32)
        return Catalogue(
            item_table.join(table, added),
            np.concatenate([self.vectors, self._placed(view.features)]),
            n_graph=len(self),
            live=np.ascontiguousarray(scoring),
            hidden=view.hidden,
        )

    def _placed(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return (M, d) unit vectors of items with these features; zeros: nothing is known."""
        if self.placing is None:
            return np.zeros((len(features), self.vectors.shape[1]), dtype=np.float32)
        predicted = self.placing[-1] + features @ self.placing[:-1]
        norms = np.linalg.norm(predicted, axis=1, keepdims=True)
        described = (features != 0).any(1, keepdims=True)
        return (predicted / np.maximum(norms, 1e-12) * described).astype(np.float32)


def _changed(table: ItemTable, overrides: Mapping[int, Override]) -> ItemTable:
    """Return the table with the new values."""
    titles, first, last = table.titles.copy(), table.available_from.copy(), table.available_until
    last = last.copy()
    owned = np.split(table.codes, table.starts[1:-1])
    place = {token.decode(): code for code, token in enumerate(table.tokens)}
    for item, new in overrides.items():
        row = item - 1
        if new.title is not None:
            titles[row] = new.title.encode()
        if new.tokens is not None:
            codes = [place.setdefault(token, len(place)) for token in dict.fromkeys(new.tokens)]
            owned[row] = np.array(codes, dtype=np.int64)
        if new.available_from is not None:
            first[row] = new.available_from
        if new.available_until is not None:
            last[row] = new.available_until
    return replace(
        table,
        titles=titles,
        tokens=item_table.texts(place),
        starts=np.cumsum([0, *map(len, owned)], dtype=np.int64),
        codes=np.concatenate(owned) if owned else table.codes,
        available_from=first,
        available_until=last,
    )
