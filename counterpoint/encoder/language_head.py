"""From hidden states to token scores: the checkpoint's own head, or one tied to its embeddings."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.utils import logging as transformers_logging

from counterpoint.encoder.backbone import TextTower
from counterpoint.encoder.loading import is_decoder

logger = logging.getLogger(__name__)


class TiedHead(nn.Module):
    """``norm(W h) E^T + b`` with the word embeddings E of the backbone (Press and Wolf 2017).

    W starts as the identity and b as the log frequency of the tokens, so that it says something
    sensible from the first step.

    Args:
        embeddings: Of the backbone; shared, not copied.
        dim: Width D of the hidden states.
        counts: (V,) how often each token occurs.
    """

    def __init__(self, embeddings: nn.Module, dim: int, counts: Tensor) -> None:
        super().__init__()
        self.embeddings = embeddings
        rows, width = self._table.shape
        self.transform = nn.Linear(dim, width, bias=False)
        self.norm = nn.LayerNorm(width)
        nn.init.eye_(self.transform.weight)
        share = (counts.float() + 1) / (counts.sum() + rows)
        self.bias = nn.Parameter(share.log() - share.log().mean())

    @property
    def _table(self) -> Tensor:
        weight: Any = self.embeddings.weight
        return weight if isinstance(weight, Tensor) else weight()

    def forward(self, states: Tensor) -> Tensor:
        """Return (M, V) scores of (M, D) states."""
        return functional.linear(self.norm(self.transform(states)), self._table, self.bias)


class CheckpointHead(nn.Module):
    """The head that a checkpoint brings along, whatever its architecture calls the parts.

    The whole model is kept with a base that returns what it is given: its forward pass is the only
    thing that knows how the head is put together.

    Args:
        model: ``...ForMaskedLM`` or ``...ForCausalLM``; its base is taken out.
        tower: Whose word embeddings take the place of the model's, where these are tied.
        learn_table: See ``load``.
    """

    def __init__(self, model: Any, tower: TextTower, *, learn_table: bool) -> None:
        super().__init__()
        backbone: Any = tower.backbone
        output = model.get_output_embeddings()
        if output.weight is model.get_input_embeddings().weight:
            output.weight = backbone.get_input_embeddings().weight
        elif not learn_table:
            output.weight.requires_grad_(False)
        setattr(model, model.base_model_prefix, _Given())
        self.model = model

    def forward(self, states: Tensor) -> Tensor:
        """Return (M, V) scores of (M, D) states."""
        scores: Tensor = self.model(inputs_embeds=states.unsqueeze(0)).logits.squeeze(0)
        return scores


class _Given(nn.Module):
    def forward(self, *_: object, inputs_embeds: Tensor, **__: object) -> BaseModelOutputWithPast:
        return BaseModelOutputWithPast(last_hidden_state=inputs_embeds)


Head = TiedHead | CheckpointHead


def load(source: str, tower: TextTower, counts: Tensor, *, learn_table: bool) -> Head:
    """Return the head of a checkpoint, or a tied one if it has none.

    Args:
        source: Folder or hub name that the tower was loaded from.
        tower: Its word embeddings are shared.
        counts: (V,) how often each token occurs in the training texts.
        learn_table: Let a (V, D) matrix of the checkpoint's head learn too, where it is not the
            word embeddings: it may be larger than the rest of what learns.
    """
    backbone: Any = tower.backbone
    kind = AutoModelForCausalLM if is_decoder(backbone) else AutoModelForMaskedLM
    model = _complete(source, kind)
    if model is None:
        logger.info("The encoder has no language-model head: one tied to its embeddings is trained")
        return TiedHead(backbone.get_input_embeddings(), tower.dim, counts)
    return CheckpointHead(model, tower, learn_table=learn_table)


def _complete(source: str, kind: Any) -> Any:
    """Return the model with its head; None if the checkpoint or the architecture has no head."""
    with _quiet():
        try:
            model, told = kind.from_pretrained(
                source,
                dtype=torch.float32,
                use_safetensors=True,
                output_loading_info=True,
                local_files_only=Path(source).is_dir(),
                trust_remote_code=False,
            )
        except ValueError as error:
            if "Unrecognized configuration class" in str(error):
                return None
            raise
    base = f"{model.base_model_prefix}."
    missing = [name for name in told["missing_keys"] if not name.startswith(base)]
    return None if missing else model


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from warning of a missing head: that is what is being found out."""
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)


def in_chunks(
    head: Callable[[Tensor], Tensor], states: Tensor, labels: Tensor, *, rows: int
) -> tuple[Tensor, Tensor]:
    """Return the mean cross-entropy of labels and how many scored best, with bounded memory.

    Beyond one chunk, scores are computed again in the backward pass instead of kept: those of a
    large vocabulary take more memory than the model.

    Args:
        head: (M, D) states -> (M, V) scores.
        states: (M, D).
        labels: (M,) token ids; may be empty, then the loss is 0.
        rows: States at once.
    """

    def part(some: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        scores = head(some).float()
        right = (scores.argmax(-1) == wanted).sum()
        return functional.cross_entropy(scores, wanted, reduction="sum"), right

    total, right = states.sum() * 0.0, labels.new_zeros(())
    chunks = list(zip(states.split(rows), labels.split(rows), strict=True)) if len(labels) else []
    for some, wanted in chunks:
        if len(chunks) > 1 and torch.is_grad_enabled():
            loss, found = checkpoint(part, some, wanted, use_reentrant=False)
        else:
            loss, found = part(some, wanted)
        total, right = total + loss, right + found
    return total / max(len(labels), 1), right
