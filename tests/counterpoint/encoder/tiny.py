"""Tiny random backbones of several architectures, as folders."""

from pathlib import Path

import torch
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizerFast,
    LlamaConfig,
    LlamaModel,
    ModernBertConfig,
    ModernBertModel,
    PreTrainedModel,
    Qwen2Config,
    Qwen2Model,
)

WORDS = (
    "space war star ship farm field cow love kiss heart city crime police thief story of the a and "
    "genre : , . drama comedy".split()
)
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
KINDS = ("bert", "modernbert", "llama", "qwen2")
LAYERS = 3
DIM = 16


def backbone(kind: str, *, vocabulary: int = len(SPECIAL) + len(WORDS) + 4) -> PreTrainedModel:
    shape = {
        "vocab_size": vocabulary,
        "hidden_size": DIM,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 128,
        "pad_token_id": 0,
    }
    rest = {"bos_token_id": 2, "eos_token_id": 3}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "bert":
            return BertModel(BertConfig(**shape))
        if kind == "modernbert":
            other = {"cls_token_id": 2, "sep_token_id": 3, "global_attn_every_n_layers": 2}
            return ModernBertModel(ModernBertConfig(**shape, **rest, **other, local_attention=8))
        if kind == "llama":
            return LlamaModel(LlamaConfig(**shape, **rest))
        return Qwen2Model(Qwen2Config(**shape, **rest, num_key_value_heads=2))


def save(folder: Path, kind: str = "bert") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL, *WORDS]))
    backbone(kind).save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder
