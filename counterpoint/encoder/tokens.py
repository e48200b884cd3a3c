"""Texts as token ids, tokenised once and batched with little padding."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TokenTable:
    """Ragged token ids of N texts.

    Attributes:
        ids: (S,) all tokens, text after text.
        indptr: (N + 1,) where each text starts.
        pad: Id of the padding token.
    """

    ids: npt.NDArray[np.int64]
    indptr: npt.NDArray[np.int64]
    pad: int

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(N,) tokens of each text."""
        return np.diff(self.indptr)

    def batch(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Return (B, T) ids and (B, T) attention mask of some texts, padded on the right."""
        places, inside = places_of(self.indptr, rows)
        ids = np.full(inside.shape, self.pad, dtype=np.int64)
        ids[inside] = self.ids[places]
        return torch.from_numpy(ids), torch.from_numpy(inside.astype(np.int64))

    def chunks(self, rows: Rows, tokens: int) -> list[Rows]:
        """Split texts, short ones first, so that no padded batch has more tokens than this.

        Args:
            rows: (B,) texts.
            tokens: Bound of texts x longest text; one text alone may exceed it.

        Returns:
            Places in ``rows``, each once.
        """
        lengths = self.lengths[rows]
        order = np.argsort(lengths, kind="stable")
        out, start = [], 0
        while start < len(order):
            # Sorted by length, so the last of a chunk is its longest.
            widths = lengths[order[start:]] * np.arange(1, len(order) - start + 1)
            count = max(1, int(np.searchsorted(widths, tokens, side="right")))
            out.append(order[start : start + count])
            start += count
        return out


def places_of(
    indptr: npt.NDArray[np.int64], rows: Rows
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return where the elements of some ragged rows lie, and the (B, T) cells that they fill."""
    lengths = indptr[rows + 1] - indptr[rows]
    width = max(int(lengths.max(initial=0)), 1)
    inside = np.arange(width) < lengths[:, None]
    places = indptr[rows][:, None] + np.arange(width)
    return places[inside], inside


def tokenise(
    texts: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_tokens: int,
    rows: Rows | None = None,
) -> TokenTable:
    """Tokenise texts once.

    Args:
        texts: N texts.
        tokenizer: Of the backbone.
        max_tokens: What is beyond is cut off.
        rows: Texts that are wanted, the others get no tokens; none: all.
    """
    wanted = np.arange(len(texts)) if rows is None else rows
    found: Any = {"input_ids": []}
    if len(wanted):
        read = [texts[row] for row in wanted]
        found = tokenizer(read, truncation=True, max_length=max_tokens, padding=False)
    tokens = [np.asarray(ids, dtype=np.int64) for ids in found["input_ids"]]
    lengths = np.zeros(len(texts), dtype=np.int64)
    lengths[wanted] = [len(ids) for ids in tokens]
    return TokenTable(
        np.concatenate(tokens) if tokens else np.zeros(0, dtype=np.int64),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        int(tokenizer.pad_token_id or 0),
    )
