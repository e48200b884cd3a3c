"""A small encoder with a WordPiece vocabulary, whole and exported."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from counterpoint import encoder_export
from counterpoint.compression.build import Builder
from counterpoint.compression.form import Form
from counterpoint.config.train import EncoderConfig
from counterpoint.encoder import TextEncoder

LETTERS = "abcdefgh"
WORDS = ["abba", "cafe", "dead", "faced", "beef", "cab", "##ab", "##ed", "##ce", "##fa", "bag"]
SPECIAL = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]"]
VOCABULARY = [*SPECIAL, *WORDS, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
LAYERS = 3


def word_piece() -> Tokenizer:
    """Tokenise words of the letters a to h."""
    place = {token: n for n, token in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordPiece(place, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[("[CLS]", place["[CLS]"]), ("[SEP]", place["[SEP]"])],
    )
    return tokenizer


def save(folder: Path, *, seed: int = 1) -> Path:
    """Write it in the layout of a hub."""
    PreTrainedTokenizerFast(
        tokenizer_object=word_piece(),
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    ).save_pretrained(folder)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
    )
    BertModel(config).save_pretrained(folder)
    return folder


def exported(folder: Path) -> tuple[TextEncoder, Form, Builder]:
    """Export it; return encoder, form and a builder of variants."""
    import polars as pl

    from counterpoint import columns, tables
    from counterpoint.config import ExportConfig

    encoder = TextEncoder(
        EncoderConfig(model=str(save(folder / "hub")), cache=str(folder / "cache"), max_tokens=16)
    )
    items = tables.conform(
        pl.DataFrame({columns.ITEM: ["1"], columns.TITLE: ["abba cafe"]}),
        columns.ITEMS,
        table="items",
    )
    encoder_export.write(encoder, items, folder / "whole", ExportConfig())
    (folder / "scratch").mkdir()
    whole = Form(folder / "whole")

    def write(tower: object, path: Path) -> None:
        encoder_export.write_graph(tower, path, opset=17)  # type: ignore[arg-type]

    return encoder, whole, Builder(encoder.module, whole, write, folder / "scratch")


def trained(root: Path) -> dict[str, Path]:
    """Write a features folder and a model folder: two tastes that the titles tell apart."""
    import numpy as np
    import polars as pl

    from counterpoint import columns, tables
    from counterpoint.config import FeaturesConfig, TrainConfig
    from counterpoint.point_in_time import PlainFeatures
    from counterpoint.stages import features, train
    from counterpoint.tables import Tables

    rng = np.random.default_rng(3)
    users, items = 60, 40
    rows = [
        (f"u{user}", f"i{item}", 1000 * user + 60 * n)
        for user in range(users)
        for n, item in enumerate(rng.permutation(items // 2)[: 6 + user % 9] * 2 + user % 2)
    ]
    interactions = pl.DataFrame(
        {
            columns.ROW: range(len(rows)),
            columns.USER: [row[0] for row in rows],
            columns.ITEM: [row[1] for row in rows],
            columns.TIMESTAMP: [row[2] * 1_000_000 for row in rows],
            columns.VALUE: [1.0 for _ in rows],
            columns.POSITIVE: [n % 7 > 0 for n in range(len(rows))],
        }
    )
    own = [["abba", "cab", "dab"], ["feed", "hedge", "fed"]]
    titles = [
        f"{' '.join(rng.permutation(own[item % 2])[:2])} {''.join(rng.permutation(list(LETTERS)))}"
        for item in range(items)
    ]
    described = pl.DataFrame(
        {
            columns.ITEM: [f"i{item}" for item in range(items)],
            columns.TITLE: titles,
            columns.ATTRIBUTES: [[f"shelf={item // 20}"] for item in range(items)],
        }
    )
    profiles = pl.DataFrame(
        {columns.USER: [f"u{user}" for user in range(users)], columns.ATTRIBUTES: [[]] * users},
        schema_overrides={columns.ATTRIBUTES: pl.List(pl.String)},
    )
    found = Tables(
        tables.conform(interactions, columns.INTERACTIONS, table="interactions"),
        tables.conform(described, columns.ITEMS, table="items"),
        tables.conform(profiles, columns.USERS, table="users"),
    )
    tables.write(found, root / "validated")
    features.run(
        FeaturesConfig(examples_per_user=4, history_length=16),
        validated=root / "validated",
        features=root / "features",
        open_source=lambda read: PlainFeatures(read, 16),
    )
    config = TrainConfig.model_validate(
        {
            "encoder": {
                "model": str(save(root / "hub")),
                "cache": str(root / "cache"),
                "max_tokens": 24,
            },
            "tower": {"dim": 8},
            "fit": {"epochs": 1, "min_steps": 2, "checkpoints": str(root / "checkpoints")},
            "choices": {"budget_seconds": 0},
        }
    )
    train.run(config, features=root / "features", model=root / "model")
    return {"features": root / "features", "model": root / "model"}
