"""Tiny random language models, and a world whose histories have something to learn."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    LlamaConfig,
    LlamaModel,
    PreTrainedTokenizerFast,
)

from counterpoint import columns, splits
from counterpoint.config import SplitConfig
from counterpoint.histories import order_events
from counterpoint.tables import Tables, conform

PLANETS = ("mars", "venus", "pluto", "saturn", "titan", "io", "ceres", "moon")
FIELDS = ("wheat", "barley", "oats", "rye", "maize", "hops", "flax", "rice")
WORDS = (*PLANETS, *FIELDS, "space", "farm", "genre", "club", "user", "liked", "not", "seen")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PIECES = (".", ":", ",", "un", "##real", "##ly")
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 96,
}


def tokenizer(*, mask: bool = True, before: bool = True) -> PreTrainedTokenizerFast:
    """WordPiece over a few words; ``before``: with [CLS] and [SEP] around every text."""
    vocabulary = {word: place for place, word in enumerate((*SPECIAL, *WORDS, *PIECES))}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    if before:
        backend.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    named = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, **named, **({"mask_token": "[MASK]"} if mask else {})
    )


def save(folder: Path, kind: str = "bert", *, mask: bool = True, **sizes: int) -> Path:
    """Write a random model of equal seed: ``bert``, ``bert with head`` or ``llama``."""
    words = tokenizer(mask=mask, before=kind != "llama")
    options = {"vocab_size": len(words), **SIZES, **sizes}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = {
            "bert": lambda: BertModel(BertConfig(**options), add_pooling_layer=False),
            "bert with head": lambda: BertForMaskedLM(BertConfig(**options)),
            "llama": lambda: LlamaModel(LlamaConfig(**options, pad_token_id=0)),
        }[kind]()
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def titles() -> list[str]:
    """Items of two tastes that share no word."""
    return [*(f"{name} space" for name in PLANETS), *(f"{name} farm" for name in FIELDS)]


def world(
    texts: Iterable[str] | None = None, *, users: int = 60, seed: int = 0
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Folded interactions, items and users; users keep to one taste and one half of its items.

    Whoever has met two items of a half knows the other two, so a hidden item can be told.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        corner = user % 4
        own = np.arange(4 * corner, 4 * corner + 4)
        for place, item in enumerate(rng.permutation(np.concatenate([own, own]))):
            rows.append((f"u{user}", f"i{item}", place, bool(rng.random() < 0.8)))
    start = datetime(2024, 1, 1, tzinfo=UTC)
    interactions = pl.DataFrame(
        {
            columns.ROW: range(len(rows)),
            columns.USER: [row[0] for row in rows],
            columns.ITEM: [row[1] for row in rows],
            columns.TIMESTAMP: [start + timedelta(minutes=row[2]) for row in rows],
            columns.POSITIVE: [row[3] for row in rows],
        }
    )
    named = list(titles() if texts is None else texts)
    items = pl.DataFrame(
        {columns.ITEM: [f"i{n}" for n in range(len(named))], columns.TITLE: named},
        schema={columns.ITEM: pl.String, columns.TITLE: pl.String},
    )
    people = pl.DataFrame(
        {
            columns.USER: [f"u{n}" for n in range(users)],
            columns.ATTRIBUTES: [[f"club={('space', 'farm')[n % 4 // 2]}"] for n in range(users)],
        }
    )
    tables = Tables(
        conform(interactions, columns.INTERACTIONS, table="interactions"),
        conform(items, columns.ITEMS, table="items"),
        conform(people, columns.USERS, table="users"),
    )
    folded = splits.assign(
        order_events(tables.interactions, seed=0), SplitConfig(protocol="leave_last_out")
    )
    return folded, tables.items, tables.users
