"""What serves: attention of a candidate to the history, over text vectors that are there already.

Deep Interest Network (Zhou et al. 2018) with two readings, of what was liked and of what was not,
beside the plain features (wide and deep: Cheng et al. 2016).
"""

import torch
from torch import Tensor, nn

from counterpoint.config.reranker import StudentConfig
from counterpoint.reranker.features import NAMES, PairFeatures, split_kinds

OUTPUTS = 2
"""Logit of liking, and rating in standard deviations from the mean."""

FAR = -1e9


class Student(nn.Module):
    """Scores candidates for histories.

    Args:
        features: Of the catalogue.
        config: Widths and dropout.
        mean: (K,) of the features over the examples.
        spread: (K,) standard deviations of the features.
    """

    mean: Tensor
    spread: Tensor

    def __init__(
        self, features: PairFeatures, config: StudentConfig, mean: Tensor, spread: Tensor
    ) -> None:
        super().__init__()
        self.features = features
        self.dim = config.dim
        self.register_buffer("mean", mean.clone())
        self.register_buffer("spread", spread.clone())
        self.item = nn.Linear(features.text_width, config.dim)
        self.query = nn.Linear(config.dim, 2 * config.dim, bias=False)
        self.decay = nn.Parameter(torch.zeros(2))
        self.wide = nn.Linear(len(NAMES), OUTPUTS)
        self.deep = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(len(NAMES) + 4 * config.dim, config.hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, OUTPUTS),
        )
        # Training starts from the plain features (plain_start.py).
        nn.init.zeros_(self.wide.weight)
        nn.init.zeros_(self.wide.bias)
        nn.init.zeros_(self.deep[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.deep[-1].bias)  # type: ignore[arg-type]

    def forward(
        self, history: Tensor, kind: Tensor, candidate: Tensor, told: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return (B, C) logits and (B, C) ratings; arguments as of ``PairFeatures``."""
        found, past, new = self.features(history, kind, candidate, told)
        plain = (found - self.mean) / self.spread
        keys, values = self.item(past), self.item(new)
        wanted = self.query(values)
        age = _age(history)
        pools = []
        for number, mask in enumerate(split_kinds(history, kind)):
            query = wanted[..., number * self.dim : (number + 1) * self.dim]
            fit = torch.matmul(query, keys.transpose(1, 2)) / self.dim**0.5
            fit = fit - (self.decay[number] * age).unsqueeze(1)
            fit = torch.where(mask.unsqueeze(1), fit, FAR)
            weight = torch.softmax(fit, dim=-1) * mask.unsqueeze(1).to(fit.dtype)
            pools.append(torch.matmul(weight, keys))
        read = torch.cat([*pools, pools[0] * values, pools[1] * values], dim=-1)
        out = self.wide(plain) + self.deep(torch.cat([plain, read], dim=-1))
        return out[..., 0], out[..., 1]


def _age(history: Tensor) -> Tensor:
    """Return (B, L) logarithms of the number of later events."""
    later = (history > 0).to(torch.float32)
    count = later.sum(1, keepdim=True) - later.cumsum(1)
    return torch.log1p(count.clamp(min=0.0))
