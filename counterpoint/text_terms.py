"""Which words, attributes and modalities of an item speak for it: each is left out in turn.

The variants go through the path of new items (``Recommender.extend``): text encoder, features,
kernel-ridge regression of the user's scores. For a cold item this is the path its score came from.
A warm item is scored from interactions; then the terms say which words the user's other scores
favour, as if the item were new (``TextTerms.exact`` is false).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from counterpoint import columns, tables
from counterpoint.encoder import TextEncoder
from counterpoint.histories import Histories
from counterpoint.recommender import Recommender
from counterpoint.score_parts import is_cold
from counterpoint.text import item_texts

MAX_TERMS = 40
"""Title words and attributes come first, then the first words of the description."""


MODALITY = "modality"


@dataclass(frozen=True)
class Term:
    """One word, attribute or modality of the item.

    Attributes:
        term: As written; an attribute is ``name=value``; a modality has its name.
        source: ``title``, ``attribute``, ``text`` or ``modality``.
        contribution: Fall of the item's predicted score without it; may be negative.
    """

    term: str
    source: str
    contribution: float


@dataclass(frozen=True)
class TextTerms:
    """Terms of an item, greatest contribution first.

    Attributes:
        terms: At most ``MAX_TERMS`` words and attributes, and the modalities.
        exact: Whether the item's score itself came from these.
        score: Predicted from these.
    """

    terms: list[Term]
    exact: bool
    score: float


def text_terms(
    recommender: Recommender,
    user: Histories,
    item: int,
    *,
    encoder: TextEncoder | None = None,
    described: pl.DataFrame | None = None,
) -> TextTerms:
    """Score an item without each of its terms.

    Args:
        recommender: The model.
        user: Exactly one user.
        item: Catalogue index.
        encoder: That of the model; none: loaded if the model has one.
        described: Canonical items with ``text``; a model folder keeps title and attributes alone.
    """
    row = _row(recommender, item, described)
    title, text = str(row[columns.TITLE] or ""), str(row[columns.TEXT] or "")
    tokens = list(row[columns.ATTRIBUTES] or ())
    words = {columns.TITLE: title.split(), columns.TEXT: [] if text == title else text.split()}
    found = [(word, columns.TITLE, place) for place, word in enumerate(words[columns.TITLE])]
    found += [(token, columns.ATTRIBUTES, place) for place, token in enumerate(tokens)]
    found += [(word, columns.TEXT, place) for place, word in enumerate(words[columns.TEXT])]
    found = found[:MAX_TERMS]
    whole = {**row, columns.TITLE: title, columns.TEXT: text, columns.ATTRIBUTES: tokens}
    rows = [whole]
    for _, source, place in found:
        parts = tokens if source == columns.ATTRIBUTES else words[source]
        rest = parts[:place] + parts[place + 1 :]
        rows.append({**whole, source: rest if source == columns.ATTRIBUTES else " ".join(rest)})
    blocks = _blocks(recommender, item)
    rows += [whole] * len(blocks)
    # Ids that no catalogue holds, so that each variant is scored as a new item.
    taken = set(recommender.item_ids)
    prefix = "variant"
    while any(f"{prefix} {number}" in taken for number in range(len(rows))):
        prefix += "'"
    named = [{**r, columns.ITEM: f"{prefix} {number}"} for number, r in enumerate(rows)]
    frame = pl.DataFrame(named, schema=columns.ITEMS)
    features = recommender.features(frame, _vectors(recommender, frame, encoder))
    for block in blocks.values():
        features[:, block] = recommender.module.cold.features[item, block].numpy()
    for variant, block in enumerate(blocks.values(), start=1 + len(found)):
        features[variant, block] = 0.0
    found += [(name, MODALITY, 0) for name in blocks]
    extended = recommender.with_items(frame, features)
    scores = extended.score(user)[0, recommender.n_items :].astype(np.float64)
    kind = {columns.ATTRIBUTES: "attribute"}
    terms = [
        Term(term, kind.get(source, source), float(scores[0] - without))
        for (term, source, _), without in zip(found, scores[1:], strict=True)
    ]
    return TextTerms(
        sorted(terms, key=lambda t: -t.contribution), is_cold(recommender, item), float(scores[0])
    )


def _blocks(recommender: Recommender, item: int) -> dict[str, slice]:
    """Modalities that the item has -> their columns among the features."""
    start, out = recommender.text_width, {}
    for modality in recommender.settings.modalities:
        block = slice(start, start + modality.width)
        if recommender.module.cold.features[item, block].any():
            out[modality.name] = block
        start += modality.width
    return out


def _row(recommender: Recommender, item: int, described: pl.DataFrame | None) -> dict[str, Any]:
    stored = recommender.items[item]
    if described is not None:
        given = described.filter(pl.col(columns.ITEM) == stored[columns.ITEM][0])
        stored = given.head(1) if len(given) else stored
    return tables.conform(stored, columns.ITEMS, table="items").row(0, named=True)


def _vectors(
    recommender: Recommender, frame: pl.DataFrame, encoder: TextEncoder | None
) -> np.ndarray | None:
    """Encode outside the cache: the variants are of no use to anybody else."""
    settings = recommender.settings
    if settings.encoder is None:
        return None
    return (encoder or TextEncoder(settings.encoder)).encode(item_texts(frame), keep=False)
