"""Vocabulary pruning: the embeddings of tokens that no text of the catalogue has are dropped.

Kept are the tokens of the texts, the special ones, and every single character, with and without a
continuation prefix: a word of a later text that has no token of its own falls into smaller pieces,
down to characters. Texts of the catalogue keep their tokens, so their vectors do not change:
WordPiece takes the longest piece that matches and Unigram the likeliest split, and either is still
there. What a new text loses is measured by pruning without it (trial.py); the commonest tokens can
be kept as well, as far as the vocabulary is in order of frequency (BERT's and Unigram's are).
Byte-pair merges depend on one another and are not pruned.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from tokenizers import Tokenizer

from counterpoint import artifacts, onnx_files
from counterpoint.compression.form import TOKENIZER, Form
from counterpoint.compression.unsupported import Unsupported

IDS = "input_ids"
"""Input of the graph that looks the embeddings up."""

_SPACE = "▁"
"""Unigram writes a space before a word so."""


def prune(source: Form, texts: Sequence[str], folder: Path, *, common: int = 0) -> Form:
    """Write a form with a smaller vocabulary.

    Args:
        source: The whole form, in float32.
        texts: Texts of the catalogue; their tokens stay.
        folder: Existing folder to write to.
        common: Tokens that stay at least; those of the texts are filled up with the first ones.

    Raises:
        Unsupported: The tokenizer is of another kind, or the graph looks no embedding up.
    """
    described = json.loads((source.folder / TOKENIZER).read_text("utf-8"))
    used = {
        token for encoded in source.tokenizer.encode_batch(list(texts)) for token in encoded.ids
    }
    kept = _kept(described, used, common)
    _write_graph(source.graph, kept, folder / artifacts.ITEM_ENCODER_ONNX)
    place = {old: new for new, old in enumerate(kept)}
    (folder / TOKENIZER).write_text(
        json.dumps(_renumbered(described, place), ensure_ascii=False), "utf-8"
    )
    smaller = Form(folder)
    changed = _changed(source.tokenizer, smaller.tokenizer, texts)
    if changed:
        raise Unsupported(f"{changed} of {len(texts)} texts would get other tokens")
    return smaller


def _kept(described: dict[str, Any], used: set[int], common: int) -> list[int]:
    """The ids that stay, ascending."""
    model = described["model"]
    special = {int(token["id"]) for token in described["added_tokens"]}
    if model["type"] in {"WordPiece", "WordLevel"}:
        prefix = model.get("continuing_subword_prefix") or ""
        pieces = {int(token): text for text, token in model["vocab"].items()}
        unknown = model["vocab"].get(model["unk_token"])
    elif model["type"] == "Unigram":
        prefix = _SPACE
        pieces = {token: text for token, (text, _) in enumerate(model["vocab"])}
        unknown = model["unk_id"]
    else:
        raise Unsupported(
            f"a {model['type']} tokenizer; WordPiece, WordLevel and Unigram can be pruned"
        )
    characters = {t for t, text in pieces.items() if len(text.removeprefix(prefix) or text) == 1}
    # Padding keeps its number, which the graph may know: all tokens before it stay.
    padding = described.get("padding") or {}
    before = set(range(int(padding.get("pad_id", 0)) + 1))
    unknowns = set() if unknown is None else {int(unknown)}
    known = pieces.keys() | special
    needed = (used | special | characters | before | unknowns) & known
    first = [token for token in sorted(known) if token not in needed]
    return sorted(needed.union(first[: max(0, common - len(needed))]))


def _renumbered(described: dict[str, Any], place: dict[int, int]) -> dict[str, Any]:
    """The tokenizer with new ids; tokens without one are gone."""
    model = dict(described["model"])
    if model["type"] == "Unigram":
        model["vocab"] = [piece for token, piece in enumerate(model["vocab"]) if token in place]
        model["unk_id"] = None if model["unk_id"] is None else place[model["unk_id"]]
    else:
        model["vocab"] = {t: place[i] for t, i in model["vocab"].items() if i in place}
    added = [token | {"id": place[token["id"]]} for token in described["added_tokens"]]
    return described | {
        "model": model,
        "added_tokens": added,
        "post_processor": _post_processor(described["post_processor"], place),
    }


def _post_processor(node: dict[str, Any] | None, place: dict[int, int]) -> dict[str, Any] | None:
    if node is None:
        return None
    if node["type"] == "Sequence":
        parts = [_post_processor(part, place) for part in node["processors"]]
        return node | {"processors": parts}
    if node["type"] == "TemplateProcessing":
        tokens = {
            name: token | {"ids": [place[i] for i in token["ids"]]}
            for name, token in node["special_tokens"].items()
        }
        return node | {"special_tokens": tokens}
    ends = {name: [node[name][0], place[node[name][1]]] for name in ("sep", "cls") if name in node}
    return node | ends


def _write_graph(source: Path, kept: Sequence[int], target: Path) -> None:
    model = onnx.load(source)
    tables = {
        node.input[0]
        for node in model.graph.node
        if node.op_type == "Gather" and node.input[1] == IDS
    }
    found = [tensor for tensor in model.graph.initializer if tensor.name in tables]
    if len(found) != 1:
        raise Unsupported(f"{len(found)} embedding tables are looked up by {IDS}; one is needed")
    table = numpy_helper.to_array(found[0])
    rows = np.ascontiguousarray(table[list(kept)])
    found[0].CopyFrom(numpy_helper.from_array(rows, found[0].name))
    onnx_files.save(model, target)


def _changed(before: Tokenizer, after: Tokenizer, texts: Sequence[str]) -> int:
    pairs = zip(before.encode_batch(list(texts)), after.encode_batch(list(texts)), strict=True)
    return sum(old.tokens != new.tokens for old, new in pairs)
