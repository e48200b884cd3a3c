"""Tensor steps of the graph that no scorer owns, in operations that ONNX has."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def best_items(scores: Tensor, banned: Tensor, allow: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """Return (B, K) scores and one-based items, best first; item 0 where none is left.

    Args:
        scores: (B, 1 + N) by one-based item, -inf in column 0.
        banned: (B, X) one-based items, 0 = padding.
        allow: (B, A) one-based items, 0 = padding; a row without any allows all.
        k: 0-dim int64, at most N.
    """
    # Allowed scores are put back into rows that were emptied: no (B, N) mask of them is made.
    allowed = scores.gather(1, allow)
    restricted = allow.sum(1, keepdim=True) > 0
    scores = scores + torch.where(restricted, -torch.inf, 0.0)
    scores = scores.scatter(1, allow, allowed).scatter(1, banned, -torch.inf)
    # Traced with a tensor, the graph looks for as many items as the request asks for.
    count: Any = k if torch.jit.is_tracing() else int(k)
    best = torch.topk(scores, count, dim=-1)
    return best.values, torch.where(best.values > -torch.inf, best.indices, 0)


def newest(history: Tensor, positive: Tensor) -> Tensor:
    """(B, L) bool: the positive events that no later positive event of the same item follows.

    Args:
        history: (B, L) one-based items, oldest first.
        positive: (B, L) bool.
    """
    length = history.shape[1]
    place = torch.cumsum(torch.ones_like(history), dim=1) - 1
    # Sorted by item, then place; other events come first, as if they were item 0.
    order = torch.where(positive, history, 0) * length + place
    order = torch.sort(order, dim=1).values
    item = torch.div(order, length, rounding_mode="trunc")
    last = (item[:, 1:] - item[:, :-1]).clamp(max=1).to(torch.float32)
    last = functional.pad(last, (0, 1), value=1.0)
    found = torch.zeros_like(last).scatter(1, order - item * length, last)
    return positive & (found > 0.0)
