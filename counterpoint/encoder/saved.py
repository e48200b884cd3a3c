"""A trained encoder on disk: a plain Hugging Face folder that ``load_backbone`` reads."""

from pathlib import Path
from typing import Any

from tokenizers import normalizers
from transformers import PreTrainedTokenizerBase

from counterpoint.encoder.backbone import TextTower


def save(tower: TextTower, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write config.json, model.safetensors and the tokenizer.

    Args:
        tower: Adapters must have been merged (trainable.py).
        tokenizer: Its prompt, if it has one, stays in the configuration and is not written.
        folder: Made if need be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    backbone: Any = tower.backbone
    backbone.save_pretrained(folder, safe_serialization=True)
    backend = tokenizer.backend_tokenizer
    given = backend.normalizer
    try:
        if isinstance(given, normalizers.Sequence) and isinstance(given[0], normalizers.Prepend):
            rest = [given[place] for place in range(1, len(given))]
            backend.normalizer = normalizers.Sequence(rest)
        tokenizer.save_pretrained(folder)
    finally:
        if given is not None:
            backend.normalizer = given
