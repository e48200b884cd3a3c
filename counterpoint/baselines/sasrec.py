"""SASRec: self-attention over the history (Kang and McAuley, 2018), with cross-entropy.

The positives of a user in order, after a start token; every place predicts the next item. The loss
is cross-entropy over the whole catalogue, which makes SASRec far stronger than its original binary
one (Klenitskiy and Vasilev, 2023); over sampled items, corrected by nothing as they are uniform,
where the catalogue is larger than ``max_full_softmax_items``. An empty history is the start token
alone, so it is ranked by what users begin with.

The order is told by distances (ALiBi; Press et al., 2022), not by a learnt vector per place as in
the paper: a long history is scored at its last place alone, whose vector few windows train.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from counterpoint.config.base import Section
from counterpoint.histories import Histories
from counterpoint.progress import track
from counterpoint.trainer import limited_threads

TRAINED = True
GRID = ({"max_length": (25, 50)},)

PLACES = 20_000
"""Places scored at once; bounds memory."""


class Config(Section):
    """Options; the defaults are the best of a small grid on MovieLens-100K validation."""

    factors: int = Field(default=64, ge=2)
    """Width of the item embeddings and of the layers; a multiple of ``heads``."""

    layers: int = Field(default=2, ge=1)
    heads: int = Field(default=4, ge=1)
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Of embeddings, attention and hidden layers."""

    max_length: int = Field(default=25, ge=2)
    """Newest places that are read; longer training sequences are cut into such windows."""

    learning_rate: float = Field(default=0.003, gt=0)
    """Of Adam, warmed up and then falling linearly."""

    epochs: int = Field(default=30, ge=1)
    """Passes over the sequences."""

    batch_size: int = Field(default=64, ge=1)
    """Sequences in a step."""

    max_steps: int = Field(default=3_000, ge=1)
    """Steps at most, whatever the epochs; bounds the time on large data."""

    max_full_softmax_items: int = Field(default=10_000, ge=1)
    """Above this catalogue size the other items of the loss are sampled."""

    negatives: int = Field(default=1_000, ge=1)
    """Items sampled per step above that size."""

    seed: int = 0

    @model_validator(mode="after")
    def _divides(self) -> "Config":
        if self.factors % self.heads:
            raise ValueError(f"factors must be a multiple of heads, which is {self.heads}")
        return self


class Layer(nn.Module):
    """Pre-norm transformer layer.

    Args:
        config: Sizes.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.factors
        self.heads, self.rate = config.heads, config.dropout
        self.before_attention, self.before_hidden = nn.LayerNorm(width), nn.LayerNorm(width)
        self.split, self.join = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.hidden = nn.Sequential(
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(4 * width, width),
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        """(B, L, d) states and the (heads, L, L) bias of the attention -> (B, L, d)."""
        parts = self.split(self.before_attention(states)).unflatten(-1, (3, self.heads, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        read = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=bias, dropout_p=self.rate if self.training else 0.0
        )
        states = states + self.dropout(self.join(read.transpose(1, 2).flatten(2)))
        result: Tensor = states + self.dropout(self.hidden(self.before_hidden(states)))
        return result


class Network(nn.Module):
    """Causal transformer; item N is the start token, N + 1 the padding.

    Args:
        n_items: N.
        config: Sizes.
    """

    def __init__(self, n_items: int, config: Config) -> None:
        super().__init__()
        self.n_items, self.heads = n_items, config.heads
        self.items = nn.Embedding(n_items + 2, config.factors)
        self.bias = nn.Parameter(torch.zeros(n_items))
        nn.init.normal_(self.items.weight, std=0.02)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.factors)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, sequences: Tensor) -> Tensor:
        """(B, L) items, padded on the right -> (B, L, d) states, each of what came up to it."""
        states = self.dropout(self.items(sequences))
        # Padding stands on the right, so causality alone hides it from every real place.
        bias = _distance_bias(sequences.shape[1], self.heads)
        for layer in self.layers:
            states = layer(states, bias)
        result: Tensor = self.norm(states)
        return result

    def logits(self, states: Tensor) -> Tensor:
        """(..., d) -> (..., N)."""
        return states @ self.items.weight[: self.n_items].T + self.bias


@dataclass(frozen=True)
class SasRec:
    """A trained network as a scorer.

    Attributes:
        network: In evaluation mode.
        max_length: Newest positives read.
    """

    network: Network
    max_length: int

    def score(self, histories: Histories) -> npt.NDArray[np.float32]:
        """(U, N) logits after the last positive of each history."""
        sequences = [
            np.append(self.network.n_items, liked)[-self.max_length :]
            for liked in _liked(histories)
        ]
        scores = np.empty((len(histories), self.network.n_items), dtype=np.float32)
        order = np.argsort([len(one) for one in sequences], kind="stable")
        step = max(1, PLACES // self.max_length)
        with torch.inference_mode():
            for start in range(0, len(order), step):
                chosen = order[start : start + step]
                batch, lengths = _pad(
                    [sequences[user] for user in chosen], self.network.n_items + 1
                )
                last = self.network(batch)[torch.arange(len(chosen)), lengths - 1]
                scores[chosen] = self.network.logits(last).numpy()
        return scores


def fit(train: Histories, *, n_items: int, config: Config) -> SasRec:
    """Train the network."""
    liked = [one for one in _liked(train) if len(one)]
    rng = np.random.default_rng(config.seed)
    with limited_threads(1), torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = Network(n_items, config)
        windows = len(_windows(liked, n_items, config.max_length, rng))
        steps = min(config.epochs * -(-windows // config.batch_size), config.max_steps)
        optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, config.learning_rate, total_steps=steps + 1, pct_start=0.1,
            anneal_strategy="linear",
        )  # fmt: skip
        batches: list[list[npt.NDArray[np.int64]]] = []
        for _ in track(range(steps), "Fit SASRec"):
            if not batches:
                drawn = _windows(liked, n_items, config.max_length, rng)
                batches = _batches(drawn, config.batch_size, rng)
            batch, _ = _pad(batches.pop(), n_items + 1)
            loss = _loss(network, batch, config)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
    return SasRec(network.eval(), config.max_length)


def _loss(network: Network, batch: Tensor, config: Config) -> Tensor:
    states, following = network(batch[:, :-1]), batch[:, 1:]
    real = following < network.n_items
    states, targets = states[real], following[real]
    if network.n_items <= config.max_full_softmax_items:
        return functional.cross_entropy(network.logits(states), targets)
    others = torch.randint(network.n_items, (config.negatives,))
    own = (states * network.items(targets)).sum(1) + network.bias[targets]
    other = states @ network.items(others).T + network.bias[others]
    other = other.masked_fill(others == targets.unsqueeze(1), -torch.inf)
    logits = torch.cat([own.unsqueeze(1), other], dim=1)
    return functional.cross_entropy(logits, torch.zeros_like(targets))


def _distance_bias(length: int, heads: int) -> Tensor:
    """(heads, L, L) added to the attention: -slope * distance, and -inf for what is yet to come.

    Slopes are 2^(-8 h / heads), h = 1 ... heads (Press et al., 2022): from the newest items alone
    to nearly all alike.
    """
    place = torch.arange(length)
    distance = place.unsqueeze(1) - place
    slopes = 2.0 ** (-8 * torch.arange(1, heads + 1) / heads)
    bias = -slopes.view(-1, 1, 1) * distance
    return bias.masked_fill(distance < 0, -torch.inf)


def _liked(histories: Histories) -> list[npt.NDArray[np.int64]]:
    """The positives of each history, oldest first."""
    counts = np.bincount(histories.owners[histories.positive], minlength=len(histories))
    return np.split(histories.items[histories.positive], np.cumsum(counts)[:-1])


def _windows(
    liked: list[npt.NDArray[np.int64]], start: int, length: int, rng: np.random.Generator
) -> list[npt.NDArray[np.int64]]:
    """Cut sequences, which begin with ``start``, into windows that predict each item once.

    The first cut is drawn anew each time, of short sequences too: a history that always began at
    the same item would be known by its beginning and learnt by heart.
    """
    windows = []
    for one in liked:
        whole = np.append(start, one)
        last = len(whole) - 1
        first = int(rng.integers(1, min(length, last) + 1)) if last else 0
        cuts = sorted({0, *range(first, last, length), last})
        windows += [whole[a : b + 1] for a, b in itertools.pairwise(cuts)]
    return windows


def _batches(
    sequences: list[npt.NDArray[np.int64]], size: int, rng: np.random.Generator
) -> list[list[npt.NDArray[np.int64]]]:
    """Batches of similar length (little padding), in random order."""
    length = np.array([len(one) for one in sequences])
    order = np.lexsort((rng.random(len(sequences)), length // 8))
    starts = rng.permutation(range(0, len(order), size))
    return [[sequences[row] for row in order[start : start + size]] for start in starts]


def _pad(sequences: list[npt.NDArray[np.int64]], padding: int) -> tuple[Tensor, Tensor]:
    """(B, L) padded on the right, and the (B,) lengths."""
    lengths = np.array([len(one) for one in sequences])
    batch = np.full((len(sequences), lengths.max(initial=0)), padding, dtype=np.int64)
    for row, one in enumerate(sequences):
        batch[row, : len(one)] = one
    return torch.from_numpy(batch), torch.from_numpy(lengths)
