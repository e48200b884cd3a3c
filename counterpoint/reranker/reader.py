"""The teacher: a language model reads a history and a candidate as one text.

A cross-encoder (Nogueira and Cho 2019) over behaviour written out in words (behaviour_text.py); its
pooled state, beside the plain features of the pair, gives liking and rating.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from counterpoint.behaviour_text import history_text, plain
from counterpoint.config.reranker import ReaderConfig
from counterpoint.encoder.backbone import TextTower
from counterpoint.histories import Histories
from counterpoint.reranker.student import OUTPUTS

MAX_EVENTS = 60
"""Newest events that are considered; what does not fit the tokens is left out anyway."""

LEAST_WIDTH = 1e-4

CANDIDATE = "Candidate: "
SPECIAL = 4
"""Tokens set aside for the separators of the model."""


class Reader(nn.Module):
    """Reads pairs.

    Args:
        tower: The language model.
        config: Width of the head.
        mean: (K,) of the plain features over the examples.
        spread: (K,) standard deviations of the plain features.
    """

    mean: Tensor
    spread: Tensor
    centre: Tensor
    width: Tensor

    def __init__(self, tower: TextTower, config: ReaderConfig, mean: Tensor, spread: Tensor):
        super().__init__()
        self.tower = tower
        self.register_buffer("mean", mean.clone())
        self.register_buffer("spread", spread.clone())
        self.register_buffer("centre", torch.zeros(tower.dim))
        self.register_buffer("width", torch.ones(tower.dim))
        self.head = nn.Sequential(
            nn.Linear(tower.dim + len(mean), config.hidden),
            nn.GELU(),
            nn.Linear(config.hidden, OUTPUTS),
        )
        self.wide = nn.Linear(len(mean), OUTPUTS)
        # Training starts from the plain features (plain_start.py).
        nn.init.zeros_(self.wide.weight)
        nn.init.zeros_(self.wide.bias)
        nn.init.zeros_(self.head[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.head[-1].bias)  # type: ignore[arg-type]

    def forward(self, input_ids: Tensor, attention_mask: Tensor, features: Tensor) -> Tensor:
        """Return (B, 2): logit of liking, and rating in standard deviations.

        Args:
            input_ids: (B, T) int64.
            attention_mask: (B, T) int64.
            features: (B, K) plain features.
        """
        read = (self.tower(input_ids, attention_mask) - self.centre) / self.width
        told = (features - self.mean) / self.spread
        out: Tensor = self.head(torch.cat([read, told], dim=-1)) + self.wide(told)
        return out

    def centre_on(self, vectors: Tensor) -> None:
        """Standardise pooled states as these (P, D): texts of one template are much alike."""
        self.centre.copy_(vectors.mean(0))
        self.width.copy_(vectors.std(0).clamp(min=LEAST_WIDTH))


class Texts:
    """Writes histories and candidates out in words.

    Args:
        items: N item texts.
        tokenizer: Of the language model.
        config: Bounds of the tokens.
    """

    def __init__(
        self, items: Sequence[str], tokenizer: PreTrainedTokenizerBase, config: ReaderConfig
    ) -> None:
        self._items = items
        self._tokenizer = tokenizer
        self._config = config
        self._count = lru_cache(100_000)(self._tokens)

    def _tokens(self, text: str) -> int:
        return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def history(self, histories: Histories, row: int) -> str:
        """Return one history as text, newest events last."""
        end = int(histories.indptr[row + 1])
        part = slice(max(int(histories.indptr[row]), end - MAX_EVENTS), end)
        budget = self._config.max_tokens - self._config.candidate_tokens - SPECIAL
        return history_text(
            [self._items[item] for item in histories.items[part]],
            [bool(liked) for liked in histories.positive[part]],
            histories.attributes[row],
            count=self._count,
            max_tokens=max(budget, 0),
        )

    def tokens(
        self, histories: Sequence[str], candidates: npt.NDArray[np.int64]
    ) -> tuple[Tensor, Tensor]:
        """Return (B, T) ids and mask of pairs.

        Args:
            histories: B texts of ``history``.
            candidates: (B,) catalogue indices.
        """
        found = self._tokenizer(
            list(histories),
            [CANDIDATE + plain(self._items[item]) for item in candidates],
            # The history has its budget already; what is left is the candidate's.
            truncation="only_second",
            max_length=self._config.max_tokens,
            padding=True,
            return_tensors="pt",
        )
        return found["input_ids"], found["attention_mask"]
