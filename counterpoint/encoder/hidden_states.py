"""What the frozen blocks say of each text, computed once; and how the others are fed with it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from counterpoint.encoder import blocks
from counterpoint.encoder.tokens import Rows, TokenTable, places_of
from counterpoint.progress import track

logger = logging.getLogger(__name__)


class _Found(Exception):
    """Ends a forward pass: what lies above is not needed."""


class Fed(nn.Module):
    """Stands for a frozen block: hands on what it was given, or what it was fed.

    Args:
        block: The block; what other code reads of it (its kind of attention) is still there.
        in_tuple: The block returns a tuple.
    """

    def __init__(self, block: nn.Module, *, in_tuple: bool) -> None:
        super().__init__()
        self._block = [block]  # In a list, so that its weights are not registered twice.
        self._in_tuple = in_tuple
        self.states: Tensor | None = None

    def __getattr__(self, name: str) -> Any:
        """Look attributes up in the block."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["_block"][0], name)

    def forward(self, hidden: Tensor, *_: Any, **__: Any) -> Any:
        """Return (B, T, d) states."""
        states = hidden if self.states is None else self.states
        return (states,) if self._in_tuple else states


class HiddenStates:
    """Hidden states below the trained blocks, one row a token, without padding.

    Args:
        table: The texts.
        values: (S, d) in the order of ``table.ids``.
    """

    def __init__(self, table: TokenTable, values: Tensor) -> None:
        self._table = table
        self._values = values

    def batch(self, rows: Rows) -> Tensor:
        """Return (B, T, d) states of some texts, zero at the padding."""
        places, inside = places_of(self._table.indptr, rows)
        out = self._values.new_zeros(*inside.shape, self._values.shape[1])
        out[torch.from_numpy(inside).to(out.device)] = self._values[
            torch.from_numpy(places).to(out.device)
        ]
        return out


def compute(
    backbone: nn.Module,
    frozen: int,
    table: TokenTable,
    rows: Rows,
    *,
    chunk_tokens: int,
    device: torch.device,
) -> tuple[HiddenStates, bool]:
    """Run the frozen blocks once over texts, without dropout.

    Args:
        backbone: Its first ``frozen`` blocks.
        frozen: At least 1.
        table: The texts.
        rows: Those that will be read, at least one; the others have no tokens.
        chunk_tokens: Tokens at once.
        device: Where the backbone is and the states will be.

    Returns:
        The states, and whether the blocks return tuples.
    """
    block = blocks.find(backbone)[frozen - 1]
    seen: list[Any] = []

    def stop(_: nn.Module, __: Any, output: Any) -> None:
        seen.append(output)
        raise _Found

    training = backbone.training
    backbone.eval()
    hook = block.register_forward_hook(stop)
    values: Tensor | None = None
    in_tuple = False
    try:
        with torch.no_grad():
            chunks = table.chunks(rows, chunk_tokens)
            for chunk in track(chunks, "Read texts (frozen blocks)"):
                ids, mask = table.batch(rows[chunk])
                try:
                    backbone(input_ids=ids.to(device), attention_mask=mask.to(device))
                except _Found:
                    in_tuple = isinstance(seen[-1], tuple)
                    states = seen.pop()[0] if in_tuple else seen.pop()
                if values is None:
                    values = states.new_zeros(len(table.ids), states.shape[-1])
                places, _ = places_of(table.indptr, rows[chunk])
                values[torch.from_numpy(places).to(device)] = states[mask.bool().to(device)]
    finally:
        hook.remove()
        backbone.train(training)
    assert values is not None, "there is at least one text"
    return HiddenStates(table, values), in_tuple


@contextmanager
def feeding(backbone: nn.Module, frozen: int, *, in_tuple: bool) -> Iterator[Fed]:
    """Within the block the backbone skips its frozen blocks and reads ``Fed.states`` instead.

    The embeddings are still looked up (that is cheap), so masks and positions are made by the
    backbone's own code and any architecture works.
    """
    layers = blocks.find(backbone)
    kept = [layers[place] for place in range(frozen)]
    stand_ins = [Fed(block, in_tuple=in_tuple) for block in kept]
    for place, stand_in in enumerate(stand_ins):
        layers[place] = stand_in
    try:
        yield stand_ins[-1]
    finally:
        for place, block in enumerate(kept):
            layers[place] = block


def size_mb(table: TokenTable, dim: int) -> float:
    """Return the memory of the hidden states of a table in 10^6 bytes."""
    return len(table.ids) * dim * 4 / 1e6
