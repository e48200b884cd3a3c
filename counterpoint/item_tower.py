"""The item tower: id, text and modalities, smoothed over the item graph."""

import functools
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from counterpoint.config.towers import TowerConfig
from counterpoint.errors import ConfigError
from counterpoint.gated_projection import GatedProjection, content_mlp
from counterpoint.propagation import HopWeights, propagate

TEXT = "text"


@dataclass(frozen=True)
class Shown:
    """What of each item counts in one step.

    Attributes:
        ids: (N,) bool.
        contents: ``text`` or name of a modality -> (N,) bool; empty for data without modalities,
            where text always counts.
    """

    ids: Tensor
    contents: Mapping[str, Tensor]


class ItemTower(nn.Module):
    """``normalise(propagate(normalise(id + sum of gate_m * MLP_m(x_m))))`` and an item bias.

    The x_m are the text and the vectors of the modalities; one that an item lacks adds nothing.
    Items without interactions (and, in training, a random share) have no id and no bias of their
    own: text and modalities alone stand for them. In training each item loses each of these at
    random, so that any subset works (``modality_dropout``). For data without modalities the text of
    an item is never dropped, and an empty one has the vector ``MLP(0)``.

    Args:
        text: (N, T) text vectors; T may be 0.
        popularity: (N,) positive interactions of each item.
        neighbours: (N, K) and (N, K) of ``propagation.item_graph``.
        config: Sizes and shares.
        modalities: Name -> (N, D) vectors as of ``Modality.prepare``.
    """

    text: Tensor
    warm: Tensor
    neighbour_index: Tensor
    neighbour_weight: Tensor

    def __init__(
        self,
        text: Tensor,
        popularity: Tensor,
        neighbours: tuple[Tensor, Tensor],
        config: TowerConfig,
        modalities: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        given = modalities or {}
        n_items, text_dim = text.shape
        self.config = config
        self.hops = HopWeights.of(config.smoothing, config)
        self.register_buffer("text", text, persistent=False)
        self.register_buffer("warm", popularity > 0, persistent=False)
        self.register_buffer("neighbour_index", neighbours[0], persistent=False)
        self.register_buffer("neighbour_weight", neighbours[1], persistent=False)
        self.id = nn.Embedding(n_items, config.dim)
        with torch.no_grad():
            self.id.weight.copy_(initial_ids(text, config, *given.values()))
        bias = 0.5 * torch.log(popularity.clamp(min=0.5))
        self.bias = nn.Embedding.from_pretrained(bias.unsqueeze(1), freeze=False)
        self.mlp: nn.Module | None = None
        self.text_bias: nn.Module | None = None
        self.lone_bias: nn.Parameter | None = None
        if text_dim:
            self.mlp = content_mlp(text_dim, config.dim)
            self.text_bias = nn.Linear(text_dim, 1)
            nn.init.zeros_(self.text_bias.weight)
            nn.init.constant_(self.text_bias.bias, float(bias.mean()))
        elif given:
            self.lone_bias = nn.Parameter(bias.mean())
        self.names = tuple(given)
        self.modalities = nn.ModuleList(GatedProjection(v, config.dim) for v in given.values())
        own = {name: config.modality_gates.get(name, config.modality_gate) for name in given}
        text_gate = {TEXT: config.text_gate} if text_dim else {}
        self.gates: dict[str, float] = {**text_gate, **own}
        learned = self.gates if config.gates == "learned" else {}
        # A part that is switched off stays off.
        self.learned_gates = nn.ParameterDict(
            {f"of_{n}": nn.Parameter(torch.tensor(gate)) for n, gate in learned.items() if gate}
        )

    @property
    def has_content(self) -> bool:
        """Whether anything but interactions tells the items apart."""
        return self.mlp is not None or len(self.modalities) > 0

    def described(self) -> Tensor:
        """Return (N,) bool: items with a text or a vector of a modality."""
        found = [(self.text != 0).any(1), *(part.present for part in self._parts().values())]
        return torch.stack(found).any(0)

    def gate(self, name: str) -> float | Tensor:
        """Return the weight of ``text`` or of a modality."""
        learned = f"of_{name}"
        return self.learned_gates[learned] if learned in self.learned_gates else self.gates[name]

    def shown(self) -> Shown:
        """Draw what counts in this step; in evaluation everything that an item has does."""
        drop = self.config.id_dropout if self.training and self.has_content else 0.0
        ids = self.warm & self._kept(drop) if drop else self.warm
        return Shown(ids, self._contents(self.config.modality_dropout if self.training else 0.0))

    def _contents(self, drop: float) -> dict[str, Tensor]:
        if not len(self.modalities):
            return {}
        has = {name: part.present for name, part in self._parts().items()}
        if self.mlp is not None:
            has[TEXT] = (self.text != 0).any(1)
        return {name: found & self._kept(drop) if drop else found for name, found in has.items()}

    def _kept(self, drop: float) -> Tensor:
        return torch.rand(len(self.warm), device=self.warm.device) >= drop

    def _parts(self) -> dict[str, GatedProjection]:
        parts = cast(list[GatedProjection], list(self.modalities))
        return dict(zip(self.names, parts, strict=True))

    def base(self, index: Tensor | None, shown: Shown) -> Tensor:
        """Return (M, d) unit vectors before propagation.

        Args:
            index: (M,) items, or None for all.
            shown: What of the items counts.
        """
        own = self.id.weight if index is None else self.id(index)
        if not self.has_content:
            return functional.normalize(own, dim=-1)
        keep = shown.ids if index is None else shown.ids[index]
        vectors = torch.where(keep.unsqueeze(-1), own, 0.0) + self.content(index, shown.contents)
        return functional.normalize(vectors, dim=-1)

    def content(self, index: Tensor | None, shown: Mapping[str, Tensor]) -> Tensor:
        """Return (M, d): the gated sum of text and modalities; arguments as of ``base``."""
        parts = [self.gate(n) * p.part(index, shown[n]) for n, p in self._parts().items()]
        if self.mlp is not None:
            text = self.gate(TEXT) * self.mlp(self.text if index is None else self.text[index])
            parts.insert(0, _masked(text, index, shown.get(TEXT)))
        return functools.reduce(operator.add, parts)

    def biases(self, index: Tensor | None, shown: Shown) -> Tensor:
        """Return (M,) biases; arguments as of ``base``."""
        bias = (self.bias.weight if index is None else self.bias(index)).squeeze(-1)
        if not self.has_content:
            return bias
        keep = shown.ids if index is None else shown.ids[index]
        return torch.where(keep, bias, self._content_bias(index, shown.contents))

    def _content_bias(self, index: Tensor | None, shown: Mapping[str, Tensor]) -> Tensor:
        if self.text_bias is not None:
            text = self.text if index is None else self.text[index]
            total: Tensor = self.text_bias(_masked(text, index, shown.get(TEXT))).squeeze(-1)
        else:
            assert self.lone_bias is not None
            total = self.lone_bias
        for name, part in self._parts().items():
            total = total + part.bias_part(index, shown[name])
        return total

    def forward(self, index: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return (M, d) unit vectors and (M,) biases of the given items, or of all."""
        shown = self.shown()
        neighbours = self.neighbour_index, self.neighbour_weight
        vectors = propagate(lambda i: self.base(i, shown), neighbours, self.hops, index)
        if self.hops.active:
            vectors = functional.normalize(vectors, dim=-1)
        return vectors, self.biases(index, shown)

    def views(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return (M, d) unit vectors from the ids alone and from text and modalities alone.

        Args:
            index: (M,) items.
        """
        if not self.has_content:
            raise ConfigError(
                ["The items have no text and no modality: there is no second view of an item."]
            )
        ids = functional.normalize(self.id(index), dim=-1)
        if self.mlp is not None and not len(self.modalities):
            return ids, functional.normalize(self.mlp(self.text[index]), dim=-1)
        content = self.content(index, self._contents(0.0))
        return ids, functional.normalize(content, dim=-1)


def _masked(values: Tensor, index: Tensor | None, shown: Tensor | None) -> Tensor:
    """Return (M, …) values, 0 for the items that are not shown; None shows all."""
    if shown is None:
        return values
    keep = shown if index is None else shown[index]
    return torch.where(keep.unsqueeze(-1), values, 0.0)


def initial_ids(text: Tensor, config: TowerConfig, *others: Tensor) -> Tensor:
    """Return (N, d) initial item ids: scaled principal components of the content, else noise.

    Noise of a hundredth of the scale separates items of equal content.

    Args:
        text: (N, T) text vectors; T may be 0.
        config: Width and scale.
        others: (N, D) vectors of the modalities, which stand beside the text.
    """
    n_items = len(text)
    noise = torch.randn(n_items, config.dim)
    blocks = [block for block in (text, *others) if block.shape[1]]
    content = torch.cat(blocks, dim=1) if blocks else text
    described = (content != 0).any(1) if blocks else torch.zeros(n_items, dtype=torch.bool)
    width = min(config.dim, content.shape[1], int(described.sum()) - 1)
    if width < 1:
        return config.id_scale * noise
    centred = torch.cat([_centred(block) for block in blocks], dim=1)
    _, values, axes = torch.linalg.svd(centred, full_matrices=False)
    scores = centred @ axes[:width].T
    scores = scores / values[0].clamp(min=1e-12) * n_items**0.5
    ids = 0.01 * noise
    ids[:, :width] += scores
    return config.id_scale * torch.where(described.unsqueeze(1), ids, noise)


def _centred(block: Tensor) -> Tensor:
    """Return the rows less their mean; rows of zeros are none and stay."""
    given = (block != 0).any(1)
    mean = block[given].mean(0) if bool(given.any()) else torch.zeros(block.shape[1])
    return torch.where(given.unsqueeze(1), block - mean, 0.0)
