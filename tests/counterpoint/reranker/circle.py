"""A world in which only reading tells what is liked: after one theme comes another of a circle.

Candidates are so many themes further, and one number of steps is liked. Where both numbers are not
0, or the text vectors say nothing, no plain feature tells the candidates apart.
"""

from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from counterpoint.histories import Histories
from counterpoint.reranker.examples import Examples
from counterpoint.reranker.features import NAMES, PairFeatures
from counterpoint.reranker.statistics import Units

THEMES = ("space", "farm", "ocean")
ITEMS = 30
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "liked",
    "not",
    "candidate",
    ":",
    ".",
    "tale",
]
UNITS = Units(liked=0.5, mean=3.0, spread=1.0, low=1.0, high=5.0)
TEXTS = [f"{THEMES[item % 3]} tale" for item in range(ITEMS)]


def features(*, blank: bool = False) -> PairFeatures:
    """Text vectors of the three themes; ``blank``: the same for all."""
    vectors = np.zeros((ITEMS, 4), dtype=np.float32)
    vectors[np.arange(ITEMS), 3 if blank else np.arange(ITEMS) % 3] = 1.0
    return PairFeatures(torch.from_numpy(vectors), 4)


def scale() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(len(NAMES)), torch.ones(len(NAMES))


def draw(size: int, *, seed: int, noise: float = 0.0, steps: tuple[int, int] = (1, 2)) -> Examples:
    """Draw events with two candidates each.

    ``noise`` is the share of labels that are turned round, ``steps`` how far liked and other
    candidates are.
    """
    rng = np.random.default_rng(seed)
    theme = rng.integers(0, 3, size)
    lengths = rng.integers(1, 5, size)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    owner = np.repeat(theme, lengths)
    past = owner + 3 * rng.integers(0, ITEMS // 3, len(owner))
    liked = rng.integers(0, 2, (size, 2))
    step = np.where(liked == 1, *steps)
    items = (theme[:, None] + step) % 3 + 3 * rng.integers(0, ITEMS // 3, (size, 2))
    told = np.where(rng.random((size, 2)) < noise, 1 - liked, liked)
    return Examples(
        Histories(
            [f"u{row}" for row in range(size)],
            indptr,
            past.astype(np.int64),
            np.ones(len(past), dtype=bool),
            np.arange(len(past), dtype=np.int64),
        ),
        items.astype(np.int64),
        told.astype(np.float32),
        (3.0 + liked).astype(np.float32),
        np.zeros((size, 2, 3), dtype=np.float32),
        np.zeros((size, 2), dtype=np.float32),
        np.zeros(size, dtype=np.float32),
    )


def write_backbone(folder: Path) -> Path:
    """Write a tiny random BERT."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join([*WORDS, *THEMES]))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        settings = BertConfig(
            vocab_size=len(WORDS) + len(THEMES),
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=128,
            initializer_range=0.1,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        BertModel(settings).save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder
