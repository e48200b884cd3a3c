"""A tower that tells hidden tokens and hidden items: the losses of masked training, its figures."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from counterpoint.config.pretrain import PretrainConfig
from counterpoint.encoder.language_head import Head, in_chunks
from counterpoint.encoder.loading import is_decoder
from counterpoint.encoder.masking import TaskBatch
from counterpoint.encoder.tokens import Rows, TokenTable
from counterpoint.encoder.trainable import Trainable

CHUNK_TOKENS = 8192
"""Of item texts that go through the tower at once."""

CHUNK_SCORES = 1 << 25
"""Scores (states x vocabulary) that are kept at once."""


class Foreteller:
    """What one step computes.

    Args:
        trainable: The tower and which of its weights learn.
        head: States -> token scores.
        items: The V different item texts.
        shares: (V,) share of each among the events that are learnt from.
        config: Weights, negatives, temperature.
        device: Where it computes.
    """

    def __init__(
        self,
        trainable: Trainable,
        head: Head,
        items: TokenTable,
        shares: npt.NDArray[np.float64],
        config: PretrainConfig,
        device: torch.device,
    ) -> None:
        self.tower = trainable.tower.to(device)
        self.head = head.to(device)
        self.items = items
        self._config = config
        self._device = device
        self._shares = torch.from_numpy(shares).to(device)
        self._met = np.flatnonzero(shares > 0)
        self._bfloat16 = config.precision == "bfloat16" or (
            config.precision == "auto" and device.type == "cuda"
        )
        # Nothing is written on from here, so decoders need not keep keys and values.
        self._options = {"use_cache": False} if is_decoder(self.tower.backbone) else {}
        embeddings: Any = self.tower.backbone.get_input_embeddings()  # type: ignore[operator]
        self._rows = max(1, CHUNK_SCORES // int(embeddings.weight.shape[0]))
        own = trainable.parameters()
        towers = {id(weight) for weight in self.tower.parameters()}
        own |= {
            f"head.{name}": weight
            for name, weight in head.named_parameters()
            if weight.requires_grad and id(weight) not in towers
        }
        self.learning = own

    def losses(
        self, batch: TaskBatch, rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted loss and its parts.

        Args:
            batch: Of this device.
            rng: Draws further negatives.
        """
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
            states = self._states(batch)
            terms = {}
            if self._config.masked_token:
                terms["masked_token"], _ = in_chunks(
                    self.head, states[batch.token_places], batch.tokens, rows=self._rows
                )
            if self._config.masked_item:
                terms["masked_item"] = self._item_loss(states, batch, rng)
        weights = self._config.model_dump()
        total = torch.stack([float(weights[name]) * term for name, term in terms.items()]).sum()
        return total, terms

    def tokens_told(self, batch: TaskBatch) -> tuple[float, int]:
        """Return the summed loss and how many hidden tokens score best."""
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
            states = self._states(batch)[batch.token_places]
            loss, right = in_chunks(self.head, states, batch.tokens, rows=self._rows)
        return loss.item() * len(batch.tokens), int(right)

    def item_ranks(self, batch: TaskBatch, vectors: Tensor, candidates: Rows) -> Rows:
        """Return (K,) how many candidates score above each hidden item.

        Args:
            batch: Of this device.
            vectors: (C, D) of the candidates.
            candidates: (C,) sorted texts, all hidden ones among them.
        """
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
            told = _unit(self._states(batch)[batch.item_places])
        scores = told @ vectors.T
        place = torch.from_numpy(np.searchsorted(candidates, batch.texts.cpu().numpy()))
        own = scores.gather(1, place.to(scores.device).unsqueeze(1))
        # Equal scores count half: a tower that tells nothing apart must not look perfect.
        above = (scores > own).sum(1) + ((scores == own).sum(1) - 1) // 2
        ranks: Rows = above.cpu().numpy()
        return ranks

    def vectors(self, rows: Rows) -> Tensor:
        """Return (R, D) unit vectors of item texts."""
        chunks = self.items.chunks(rows, CHUNK_TOKENS)
        parts = []
        for chunk in chunks:
            ids, attention = self.items.batch(rows[chunk])
            parts.append(self.tower(ids.to(self._device), attention.to(self._device)))
        back = np.argsort(np.concatenate(chunks), kind="stable")
        return torch.cat(parts)[torch.from_numpy(back).to(self._device)]

    def state_dict(self) -> dict[str, Tensor]:
        """Return what learns, by name: what a checkpoint must hold (checkpoints.py)."""
        return {name: weight.data for name, weight in self.learning.items()}

    def train(self, mode: bool) -> None:
        """Switch dropout on or off; what does not learn has none: it would be noise alone."""
        self.tower.train(mode)
        self.head.train(mode)
        _quieten(self.tower)

    def _states(self, batch: TaskBatch) -> Tensor:
        output = self.tower.backbone(
            input_ids=batch.ids, attention_mask=batch.attention, **self._options
        )
        states: Tensor = output.last_hidden_state.flatten(0, 1)
        return states

    def _item_loss(self, states: Tensor, batch: TaskBatch, rng: np.random.Generator) -> Tensor:
        """Softmax over the cosines with the batch's items and further ones drawn evenly.

        ``-log softmax(<h, v> / temperature - log q)`` with q the probability that an item is among
        them: ``1 - (1 - p)^K (1 - 1 / N)^m`` for K hidden items of popularity p and m drawn of N
        (mixed negatives, Yang et al. 2020).
        """
        asked = batch.texts
        if not len(asked):
            return states.sum() * 0.0
        total = len(self._met)
        drawn = self._met[rng.integers(total, size=self._config.negatives)]
        candidates, place = np.unique(
            np.concatenate([asked.cpu().numpy(), drawn]), return_inverse=True
        )
        labels = torch.from_numpy(place[: len(asked)]).to(self._device)
        told, vectors = _unit(states[batch.item_places]), self.vectors(candidates)
        with torch.autocast(self._device.type, enabled=False):
            logits = told @ vectors.T / self._config.temperature
        if self._config.logq:
            share = self._shares[torch.from_numpy(candidates).to(self._device)]
            missed = len(asked) * torch.log1p(-share.clamp(max=1 - 1e-9))
            if total > 1:
                missed = missed + len(drawn) * float(np.log1p(-1 / total))
            logits = logits - torch.log(-torch.expm1(missed)).clamp(min=-30.0).to(logits.dtype)
        return functional.cross_entropy(logits.float(), labels)


def _quieten(module: nn.Module) -> None:
    """Switch off the parts whose weights all stay."""
    weights = list(module.parameters())
    if weights and not any(weight.requires_grad for weight in weights):
        module.eval()
        return
    for part in module.children():
        _quieten(part)


def _unit(states: Tensor) -> Tensor:
    return functional.normalize(states.float(), dim=-1)
