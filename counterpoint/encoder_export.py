"""The item encoder as an ONNX graph beside its tokenizer, checked against torch."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from tokenizers import Tokenizer

from counterpoint import artifacts, onnx_parity
from counterpoint.config.serve import ExportConfig
from counterpoint.encoder import TextEncoder, TextTower
from counterpoint.errors import DataError
from counterpoint.model_folder import Settings
from counterpoint.onnx_graphs import export_module
from counterpoint.text import item_texts

_TEXTS = 32
"""Texts whose vectors are compared."""


def load(settings: Settings) -> TextEncoder:
    """Load the encoder a model was trained with.

    Args:
        settings: Of a model with text.

    Raises:
        DataError: The weights are other ones.
    """
    assert settings.encoder is not None
    # What is served computes in float32, whatever the catalogue was encoded in.
    plain = {"precision": "float32", "device": "cpu"}
    encoder = TextEncoder(settings.encoder.model_copy(update=plain))
    if encoder.weights_sha256 != settings.encoder_sha256:
        raise DataError(
            f"The encoder {settings.encoder.model!r} has other weights "
            f"({encoder.weights_sha256[:12]}…) than the model was trained with "
            f"({(settings.encoder_sha256 or 'none')[:12]}…). Restore them in "
            f"{settings.encoder.cache}, or train again."
        )
    return encoder


def write(encoder: TextEncoder, items: pl.DataFrame, target: Path, config: ExportConfig) -> float:
    """Write graph and tokenizer; return the largest difference of its vectors from torch's.

    Args:
        encoder: The encoder.
        items: Canonical items; the first are compared.
        target: Folder to make.
        config: Opset and tolerance.

    Raises:
        QualityError: The graph answers otherwise than torch.
    """
    target.mkdir()
    tokenizer: Tokenizer = Tokenizer.from_str(encoder.tokenizer.backend_tokenizer.to_str())
    tokenizer.enable_truncation(encoder.config.max_tokens)
    tokenizer.enable_padding(
        pad_id=encoder.tokenizer.pad_token_id or 0,
        pad_token=encoder.tokenizer.pad_token or "[PAD]",
    )
    tokenizer.save(str(target / "tokenizer.json"))
    graph = target / artifacts.ITEM_ENCODER_ONNX
    write_graph(encoder.module, graph, opset=config.opset)
    texts = [text for text in item_texts(items.head(_TEXTS)) if text] or ["item"]
    tokens = tokenizer.encode_batch(texts)
    feed = {
        "input_ids": np.array([t.ids for t in tokens], dtype=np.int64),
        "attention_mask": np.array([t.attention_mask for t in tokens], dtype=np.int64),
    }
    (theirs,) = onnx_parity.session(graph).run(["vector"], feed)
    return onnx_parity.check_vectors(encoder.encode(texts), theirs, texts, config.tolerance)


def write_graph(tower: TextTower, path: Path, *, opset: int) -> None:
    """Write the graph ``item_encoder`` with free batch and sequence sizes."""
    example = {
        "input_ids": torch.ones(2, 4, dtype=torch.int64),
        "attention_mask": torch.ones(2, 4, dtype=torch.int64),
    }
    free = {name: {0: "B", 1: "T"} for name in example} | {"vector": {0: "B"}}
    backbone: Any = tower.backbone
    before = backbone.config._attn_implementation
    # Only the plain attention is traced with free batch and sequence sizes.
    backbone.set_attn_implementation("eager")
    try:
        export_module(tower, example, ["vector"], free, path, opset=opset, splits=True)
    finally:
        backbone.set_attn_implementation(before)
