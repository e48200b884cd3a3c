"""Texts in, vectors with gradients out: each text once a step, little padding, bounded memory."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from counterpoint.config.encoder import TuneConfig
from counterpoint.encoder import hidden_states
from counterpoint.encoder.hidden_states import Fed, HiddenStates
from counterpoint.encoder.ranks import ALONE, Ranks
from counterpoint.encoder.tokens import Rows, TokenTable
from counterpoint.encoder.trainable import Trainable

logger = logging.getLogger(__name__)

Loss = Callable[[Tensor], Tensor]
"""(U, D) unit vectors of the texts of a step -> scalar."""


class Reader:
    """Encodes the texts of a table with a tower that learns.

    Args:
        trainable: The tower and how many of its blocks are frozen.
        table: The texts.
        config: Bounds of time and memory.
        device: Where the tower computes.
        bfloat16: Autocast to bfloat16.
        ranks: Processes that share the texts of a step.
    """

    def __init__(
        self,
        trainable: Trainable,
        table: TokenTable,
        config: TuneConfig,
        *,
        device: torch.device,
        bfloat16: bool = False,
        ranks: Ranks = ALONE,
    ) -> None:
        self.tower = trainable.tower
        self.table = table
        self._config = config
        self._device = device
        self._bfloat16 = bfloat16
        self._ranks = ranks
        self._frozen = trainable.frozen_blocks
        self._sharded = trainable.sharded
        self._states: HiddenStates | None = None
        self._fed: Fed | None = None
        self.noise: Callable[[Tensor], Tensor] | None = None
        """Changes the (B, T, d) states that the trained part reads (perturbation.py)."""

    @contextlib.contextmanager
    def open(self) -> Iterator["Reader"]:
        """Compute the frozen part once; within the block the tower skips it.

        Not where the weights are divided among processes: that would take them apart.
        """
        mine = self._ranks.share(np.arange(len(self.table), dtype=np.int64))
        megabytes = hidden_states.size_mb(self.table, self.tower.dim)
        with contextlib.ExitStack() as stack:
            frozen = 0 if self._sharded else self._frozen
            if frozen and megabytes > self._config.hidden_mb:
                logger.info(
                    "Hidden states would take %.0f MB (train.encoder.tune.hidden_mb = %d): the "
                    "frozen blocks are computed anew each time",
                    *(megabytes, self._config.hidden_mb),
                )
            elif frozen and len(mine):
                self._states, in_tuple = hidden_states.compute(
                    self.tower.backbone,
                    self._frozen,
                    self.table,
                    mine,
                    chunk_tokens=self._config.chunk_tokens,
                    device=self._device,
                )
                self._fed = stack.enter_context(
                    hidden_states.feeding(self.tower.backbone, self._frozen, in_tuple=in_tuple)
                )
            stack.enter_context(self._perturbing())
            yield self
        self._states = self._fed = None

    def all(self) -> Tensor:
        """Return (N, D) vectors of all texts, without dropout and gradients, on the CPU.

        Each process encodes its own; all must ask.
        """
        training = self.tower.training
        self.tower.eval()
        everything = np.arange(len(self.table), dtype=np.int64)
        mine = self._ranks.share(everything)
        chunks = self._chunks(mine)
        with torch.no_grad():
            own = _in_order([self._encode(mine[chunk]) for chunk in chunks], chunks)
            found = self._ranks.gather(own, everything)
        self.tower.train(training)
        return found.float().cpu()

    def passes(self, rows: Rows) -> int:
        """Return how often the tower runs in this process to encode the texts of a step."""
        return len(self._chunks(self._ranks.share(rows)))

    def backward(self, rows: Rows, loss_of: Loss) -> Tensor:
        """Add the gradients of a loss over texts; return the loss.

        Where all activations would take too much memory, every chunk is encoded without them, the
        loss is differentiated by the vectors, and each chunk is encoded again with the same dropout
        to carry its part further (GradCache, Gao et al. 2021). The gradients are the same.

        With several processes each encodes its share of the texts; all see all vectors, compute
        the same loss and take the gradient of their own share. The sum over the processes is the
        gradient of one process with all texts.

        Args:
            rows: (U,) different texts.
            loss_of: The loss of their vectors.
        """
        mine = self._ranks.share(rows)
        chunks = self._chunks(mine)
        again = self._activations_mb(mine, chunks) > self._config.activation_mb
        if self._sharded:
            # All processes go the same way, and each pass is carried back before the next one.
            again = len(chunks) > 1
        states = []
        with torch.set_grad_enabled(not again):
            parts = []
            for chunk in chunks:
                states.append(_random_state(self._device) if again else None)
                parts.append(self._encode(mine[chunk]))
            own = _in_order(parts, chunks)
        everything = self._ranks.gather(own.detach(), rows).requires_grad_(True)
        loss = loss_of(everything)
        (gradient,) = torch.autograd.grad(loss, everything)
        gradient = gradient[torch.from_numpy(self._ranks.owns(rows)).to(gradient.device)]
        if not again:
            _carry(own, gradient)
        else:
            after = _random_state(self._device)
            for chunk, state in zip(chunks, states, strict=True):
                assert state is not None
                _restore(state, self._device)
                index = torch.from_numpy(chunk).to(gradient.device)
                _carry(self._encode(mine[chunk]), gradient[index])
            _restore(after, self._device)
        return loss.detach()

    def _chunks(self, mine: Rows) -> list[Rows]:
        """Return the places in some texts of this process that each pass of the tower reads."""
        chunks = self.table.chunks(mine, self._config.chunk_tokens)
        most = max(1, len(chunks))
        if self._sharded:
            (most,) = self._ranks.most(most, device=self._device)
        return chunks + [np.zeros(0, dtype=np.int64)] * (most - len(chunks))

    def _encode(self, rows: Rows) -> Tensor:
        if not len(rows):
            return self._idle()
        ids, mask = self.table.batch(rows)
        if self._fed is not None and self._states is not None:
            states = self._states.batch(rows)
            self._fed.states = states if self.noise is None else self.noise(states)
        if self._config.token_dropout and self.tower.training:
            mask = _thinned(mask, self._config.token_dropout)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
            found: Tensor = self.tower(ids.to(self._device), mask.to(self._device))
        return found

    def _idle(self) -> Tensor:
        """Return (0, D): this process has no more texts, but others may need its weights."""
        if not self._sharded:
            return torch.zeros(0, self.tower.dim, device=self._device)
        one = torch.ones(1, 1, dtype=torch.int64, device=self._device)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
            found: Tensor = self.tower(self.table.pad * one, one)
        return found[:0]

    @contextlib.contextmanager
    def _perturbing(self) -> Iterator[None]:
        """Let ``noise`` reach the token embeddings where no block is frozen."""
        if self._fed is not None:
            yield
            return
        backbone: Any = self.tower.backbone
        embeddings: nn.Module = backbone.get_input_embeddings()
        hook = embeddings.register_forward_hook(
            lambda _, __, output: output if self.noise is None else self.noise(output)
        )
        try:
            yield
        finally:
            hook.remove()

    def _activations_mb(self, rows: Rows, chunks: Sequence[Rows]) -> float:
        """Estimate what the backward pass needs, from the sizes of a transformer block."""
        config: Any = self.tower.backbone.config
        lengths = self.table.lengths[rows]
        inner = int(getattr(config, "intermediate_size", 4 * self.tower.dim))
        heads = int(getattr(config, "num_attention_heads", 1))
        total = int(getattr(config, "num_hidden_layers", 1))
        learning = total - (self._frozen if self._fed is not None else 0)
        values = 0.0
        for chunk in chunks:
            width = int(lengths[chunk].max(initial=0))
            per_token = 10 * self.tower.dim + 3 * inner + 2 * heads * width
            values += len(chunk) * width * per_token
        return values * learning * 4 / 1e6


def _thinned(mask: Tensor, share: float) -> Tensor:
    """Return an attention mask without a random share of its tokens, the first and last kept."""
    keep = torch.rand(mask.shape) >= share
    keep[:, 0] = True
    keep[torch.arange(len(mask)), mask.sum(1) - 1] = True
    return mask * keep


def _carry(vectors: Tensor, gradient: Tensor) -> None:
    if vectors.requires_grad:
        vectors.backward(gradient)


def _in_order(parts: Sequence[Tensor], chunks: Sequence[Rows]) -> Tensor:
    joined = torch.cat(list(parts))
    back = np.argsort(np.concatenate(chunks), kind="stable")
    return joined[torch.from_numpy(back).to(joined.device)]


def _random_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return torch.get_rng_state(), cuda


def _restore(state: tuple[Tensor, Tensor | None], device: torch.device) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], device)
