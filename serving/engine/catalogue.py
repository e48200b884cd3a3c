"""The items a version can recommend: those of its graph and those added since, and what bars them.

Indices are one-based, as in the graph; index 0 is padding. Items added while the version serves
(live items) stand behind those of the graph.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from serving.engine import item_table
from serving.engine.item_table import ItemTable

Mask = npt.NDArray[np.bool_]
"""(N,) which items, zero-based."""

NEVER_CHANGES = int(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class LiveItems:
    """Items added, and ids removed, since the version was exported.

    Attributes:
        table: (L,) the added items.
        features: (L, F) phi of counterpoint/cold.py; a row of zeros: nothing is known.
        vectors: (L, d) unit vectors for similarity, or zeros.
        removed: Ids that must no longer be shown, of the version or added.
    """

    table: ItemTable
    features: npt.NDArray[np.float32]
    vectors: npt.NDArray[np.float32]
    removed: frozenset[str]


class Catalogue:
    """Immutable; ``extended`` returns another one.

    Args:
        table: (N,) items in index order.
        vectors: (N, d) float32 unit vectors for similarity.
        n_graph: Number of items the graph knows, the first ones.
        live: (F + 2, N - n_graph) columns that score the others: scores = taste @ live.
        removed: Ids that must not be shown.
    """

    def __init__(
        self,
        table: ItemTable,
        vectors: npt.NDArray[np.float32],
        *,
        n_graph: int | None = None,
        live: npt.NDArray[np.float32] | None = None,
        removed: Iterable[str] = (),
    ) -> None:
        self.table = table
        self.vectors = vectors
        self.n_graph = len(table) if n_graph is None else n_graph
        self.live = live
        nothing = item_table.texts([b""])
        self.ids = np.concatenate([nothing, table.ids])
        self.titles = np.concatenate([nothing, table.titles])
        self.index = {item.decode(): place for place, item in enumerate(table.ids, start=1)}
        gone = [self.index[item] - 1 for item in removed if item in self.index]
        self.removed = np.array(sorted(gone), dtype=np.int64)

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

    def tokens(self, item: int, name: str) -> list[int]:
        """Return the codes of an item's attributes of one name, such as ``genre``.

        Args:
            item: One-based index.
            name: Name of the attribute.
        """
        table = self.table
        codes = table.codes[table.starts[item - 1] : table.starts[item]]
        named = self._named(name)
        return [int(code) for code in codes if named[code]]

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

    def extended(self, live: LiveItems) -> "Catalogue":
        """Return this catalogue of graph items with live ones added and removed ones barred.

        A live item whose id the graph knows already was trained in meanwhile: the graph's counts.
        """
        known = self.index
        new = np.array(
            [place for place, item in enumerate(live.table.ids) if item.decode() not in known],
            dtype=np.int64,
        )
        if not len(new):
            return Catalogue(self.table, self.vectors, removed=live.removed)
        features = live.features[new].T
        described = (features != 0).any(0)
        columns = np.concatenate([features, [described, ~described]]).astype(np.float32)
        vectors = np.concatenate([self.vectors, live.vectors[new]])
        return Catalogue(
            item_table.join(self.table, item_table.pick(live.table, new)),
            vectors,
            n_graph=len(self),
            live=np.ascontiguousarray(columns),
            removed=live.removed,
        )
