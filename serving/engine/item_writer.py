"""Adds items to the store of live items with what the served version needs to score them.

Runs inside Triton: standard library and numpy.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from counterpoint.attributes import Spec
from counterpoint.item_text import item_text
from counterpoint.live_items import (
    FaultyItem,
    LiveItem,
    StoredItem,
    Vector,
    instant,
    item_id,
    parse,
)
from serving.engine.text_encoder import TextEncoder


class Store(Protocol):
    """What items are written to: counterpoint/live_store.py, or engine/mirror.py."""

    def get(self, item_id: str) -> StoredItem | None:
        """Return one row, tombstones included."""
        ...

    def since(self, revision: int = 0) -> list[StoredItem]:
        """Return the rows written after a revision, oldest addition first."""
        ...

    def put(
        self,
        items: Iterable[LiveItem],
        vectors: Sequence[Vector] = (),
        *,
        replace: bool = False,
        known: Callable[[str], bool] = ...,
    ) -> list[tuple[str, StoredItem]]:
        """Add items in one step: all or none."""
        ...

    def remove(self, item_ids: Iterable[str]) -> list[StoredItem]:
        """Leave a tombstone for each item."""
        ...


@dataclass(frozen=True)
class ItemModel:
    """What a version makes of an item.

    Attributes:
        version: Name in the registry.
        spec: How it bins item attributes.
        vocabulary: The attribute tokens that count in its scores.
        ids: Ids in its graph.
        encoder: Its item encoder; none: trained without text.
        modalities: Name -> numbers of a vector, of those that it reads of new items.
    """

    version: str
    spec: Spec
    vocabulary: frozenset[str]
    ids: Collection[str]
    encoder: TextEncoder | None
    modalities: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        version: str,
        contract: Mapping[str, Any],
        ids: Collection[str],
        encoder: TextEncoder | None,
    ) -> "ItemModel":
        """Take what is needed from contract.json (format 3)."""
        return cls(
            version,
            contract["item_attributes"],
            frozenset(contract["item_vocabulary"]),
            ids,
            encoder if contract["text_width"] else None,
            {m["name"]: len(m["centre"]) for m in contract.get("modalities", ()) if m["weight"]},
        )

    def text(self, item: LiveItem) -> str:
        """The text its encoder reads."""
        return item_text(item.title, item.tokens(self.spec), item.text)


def put(
    store: Store,
    model: ItemModel,
    given: Sequence[Mapping[str, Any]],
    *,
    replace: bool,
) -> list[dict[str, Any]]:
    """Check, encode and write items in one step: all or none.

    Args:
        store: Where to.
        model: The served version: decides what exists and is known.
        given: Raw items.
        replace: Overwrite items that exist.

    Returns:
        What was done with each, as JSON values.

    Raises:
        FaultyItem: Names the field, and the row where there are several.
        UnusableStore: The store cannot be written.
    """
    items = []
    for row, raw in enumerate(given):
        try:
            items.append(parse(raw, spec=model.spec))
            _check_vectors(model, items[-1])
        except FaultyItem as error:
            raise _in_row(error, row, len(given)) from None
    ids = [item.item_id for item in items]
    twice = next((row for row, item in enumerate(ids) if item in ids[:row]), None)
    if twice is not None:
        double = FaultyItem(f"item_id: {ids[twice]!r} is given twice in one request.")
        raise _in_row(double, twice, len(given))
    done = store.put(items, _vectors(model, items), replace=replace, known=model.ids.__contains__)
    return [{"action": what, **shown(row), **_known(model, row.item)} for what, row in done]


def remove(
    store: Store, model: ItemModel, given: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Hide items at once.

    Args:
        store: Where to.
        model: The served version.
        given: Objects with ``item_id``.

    Raises:
        FaultyItem: An id is malformed, or nobody knows it.
        UnusableStore: The store cannot be written.
    """
    ids = []
    for row, raw in enumerate(given):
        try:
            ids.append(_id(raw))
            stored = store.get(ids[-1])
            if stored is None and ids[-1] not in model.ids:
                raise FaultyItem(
                    f"item_id: {ids[-1]!r} is neither in the catalogue nor among the live items."
                )
        except FaultyItem as error:
            raise _in_row(error, row, len(given)) from None
    return [{"action": "removed", **shown(row)} for row in store.remove(ids)]


def get(store: Store, model: ItemModel, given: Mapping[str, Any]) -> dict[str, Any]:
    """Tell what is known of an item: its row of the store if any, and whether the graph has it.

    Raises:
        FaultyItem: The id is malformed, or nobody knows it.
    """
    name = _id(given)
    stored = store.get(name)
    in_graph = name in model.ids
    if stored is None and not in_graph:
        raise FaultyItem(f"item_id: {name!r} is neither in the catalogue nor among the live items.")
    row = shown(stored) if stored else {"item_id": name}
    return {"live": stored is not None, "in_graph": in_graph, **row}


def shown(row: StoredItem) -> dict[str, Any]:
    """Return a row of the store as JSON values; of a vector only how many numbers it has."""
    return {
        **row.item.row(),
        "vectors": {name: len(content) // 4 for name, content in row.item.vectors},
        "added_at": instant(row.added_at),
        "removed_at": instant(row.removed_at),
    }


def _vectors(model: ItemModel, items: Sequence[LiveItem]) -> list[Vector]:
    """Encode the items; other versions encode them by themselves (engine/live_items.py)."""
    encoder = model.encoder
    if encoder is None:
        return []
    texts = {item.item_id: model.text(item) for item in items if item.item_id not in model.ids}
    texts = {item: text for item, text in texts.items() if text}
    if not texts:
        return []
    found = encoder.encode(list(texts.values())).astype("<f4")
    return [
        Vector(encoder.sha256, item, hashlib.sha256(text.encode()).hexdigest(), v.tobytes())
        for (item, text), v in zip(texts.items(), found, strict=True)
    ]


def _check_vectors(model: ItemModel, item: LiveItem) -> None:
    for name, content in item.vectors:
        width, known = len(content) // 4, model.modalities.get(name)
        if known not in (None, width):
            raise FaultyItem(
                f"vectors: {name} has {width} numbers, the model reads {known}. Send a vector of "
                f"the encoder it was trained with."
            )


def _known(model: ItemModel, item: LiveItem) -> dict[str, Any]:
    tokens = item.tokens(model.spec)
    counted = [token for token in tokens if token in model.vocabulary]
    in_graph = item.item_id in model.ids
    text = bool(model.encoder and model.text(item))
    seen = [name for name, _ in item.vectors if name in model.modalities]
    unseen = [name for name, _ in item.vectors if name not in model.modalities]
    warnings = []
    if unseen:
        warnings.append(
            f"The model reads no {', no '.join(unseen)} of new items (it reads "
            f"{', '.join(model.modalities) or 'no modality'}): kept for the next training."
        )
    if in_graph:
        warnings.append(
            "The model knows this item: title, attributes and availability are replaced, its score "
            "stays until the next training."
        )
    elif not text and not counted and not seen:
        warnings.append(
            "Nothing about this item is known to the model, so it ranks below every other: give a "
            "title, a text, attributes that other items have, or a vector of a modality."
        )
    return {
        "model_version": model.version,
        "in_graph": in_graph,
        "text_known": text,
        "modalities_known": seen,
        "modalities_unknown": unseen,
        "attributes_known": counted,
        "attributes_unknown": [token for token in tokens if token not in model.vocabulary],
        "warnings": warnings,
    }


def _id(raw: Any) -> str:
    if not isinstance(raw, Mapping):
        raise FaultyItem(f"item: {str(raw)[:60]!r} is not an object with the field item_id.")
    return item_id(raw.get("item_id"))


def _in_row(error: FaultyItem, row: int, rows: int) -> FaultyItem:
    return error if rows == 1 else FaultyItem(f"{error} (row {row + 1} of {rows})")
