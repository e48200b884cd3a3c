"""Augmentations of user histories, on ragged batches, drawn from torch's random state.

Crop, mask and reorder as in CL4SRec (Xie et al., "Contrastive Learning for Sequential
Recommendation", 2022); substitute by a similar item as in CoSeRec (Liu et al. 2021). An event keeps
its flag (liked or not); ages are counted anew. The user tower has no mask token: a masked event is
left out. Every history with an event keeps at least one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from counterpoint.batches import Batch

Neighbours = tuple[Tensor, Tensor]
"""(N, K) similar items and (N, K) weights, as of ``propagation.item_graph``."""


@dataclass(frozen=True)
class Augmenter:
    """Changes each history in one way, chosen at random.

    Attributes:
        names: Of OPERATIONS.
        share: Of a history's events: those kept by ``crop`` are ``1 - share``, those removed,
            replaced or shuffled by the others are ``share``.
    """

    names: Sequence[str]
    share: float

    def __call__(self, batch: Batch, neighbours: Neighbours) -> Batch:
        """Return a view of the histories, without targets.

        Args:
            batch: B examples.
            neighbours: Similar items, for ``substitute``.
        """
        device = batch.items.device
        which = torch.randint(len(self.names), (batch.size,)).to(device)
        view = batch.without_targets()
        for number, name in enumerate(self.names):
            view = OPERATIONS[name](view, which == number, self.share, neighbours)
        return view


def crop(batch: Batch, chosen: Tensor, share: float, neighbours: Neighbours) -> Batch:
    """Keep a span of ``ceil((1 - share) * length)`` events, anywhere in the chosen histories."""
    length, place = _places(batch)
    kept = torch.ceil((1.0 - share) * length).long().clamp(min=1)
    start = _draw_start(length, kept)[batch.owner]
    inside = (place >= start) & (place < start + kept[batch.owner])
    return _keep(batch, inside | ~chosen[batch.owner])


def mask(batch: Batch, chosen: Tensor, share: float, neighbours: Neighbours) -> Batch:
    """Leave out ``floor(share * length)`` random events of the chosen histories."""
    length, _ = _places(batch)
    removed = torch.floor(share * length).long().clamp(max=length - 1)
    return _keep(batch, (_ranks(batch) >= removed[batch.owner]) | ~chosen[batch.owner])


def substitute(batch: Batch, chosen: Tensor, share: float, neighbours: Neighbours) -> Batch:
    """Replace ``ceil(share * length)`` random events of the chosen histories by a similar item.

    The neighbour is drawn in proportion to its weight; an item without neighbours stays.
    """
    length, _ = _places(batch)
    replaced = torch.ceil(share * length).long()[batch.owner]
    hit = chosen[batch.owner] & (_ranks(batch) < replaced)
    return replace(
        batch, items=torch.where(hit, similar_items(batch.items, neighbours), batch.items)
    )


def reorder(batch: Batch, chosen: Tensor, share: float, neighbours: Neighbours) -> Batch:
    """Shuffle a span of ``ceil(share * length)`` events of the chosen histories."""
    length, place = _places(batch)
    size = torch.ceil(share * length).long()
    start = _draw_start(length, size)[batch.owner]
    inside = chosen[batch.owner] & (place >= start) & (place < start + size[batch.owner])
    noise = torch.rand(len(place)).to(place.device)
    # Events outside the span keep their place; inside, the place is drawn anew within the span.
    spot = torch.where(inside, start + noise * size[batch.owner], place)
    order = _sorted_within(batch.owner, spot)
    return _aged(replace(batch, items=batch.items[order], positive=batch.positive[order]))


OPERATIONS: dict[str, Callable[[Batch, Tensor, float, Neighbours], Batch]] = {
    "crop": crop,
    "mask": mask,
    "substitute": substitute,
    "reorder": reorder,
}


def similar_items(items: Tensor, neighbours: Neighbours) -> Tensor:
    """Return a random neighbour of each (M,) item; the item itself where it has none."""
    index, weight = neighbours
    if not index.shape[1]:
        return items
    running = weight[items].cumsum(-1)  # (M, K)
    total = running[:, -1:]
    threshold = torch.rand(len(items), 1).to(items.device) * total
    pick = (running <= threshold).sum(-1, keepdim=True).clamp(max=index.shape[1] - 1)
    found = index[items].gather(1, pick).squeeze(1)
    return torch.where(total.squeeze(1) > 0, found, items)


def _places(batch: Batch) -> tuple[Tensor, Tensor]:
    """(B,) lengths and (E,) place of each event in its history."""
    length = torch.bincount(batch.owner, minlength=batch.size)
    first = length.cumsum(0) - length
    return length, torch.arange(len(batch.owner), device=length.device) - first[batch.owner]


def _draw_start(length: Tensor, size: Tensor) -> Tensor:
    """(B,) random start of a span of the given size."""
    room = (length - size + 1).clamp(min=1)
    noise = torch.rand(len(length)).to(length.device)
    return torch.minimum((noise * room).long(), room - 1)


def _sorted_within(owner: Tensor, value: Tensor) -> Tensor:
    """(E,) order of the events by example, then by value."""
    by_value = torch.argsort(value, stable=True)
    return by_value[torch.argsort(owner[by_value], stable=True)]


def _ranks(batch: Batch) -> Tensor:
    """(E,) a random permutation of 0, 1, ... within each history."""
    noise = torch.rand(len(batch.owner)).to(batch.owner.device)
    _, place = _places(batch)
    rank = torch.empty_like(place)
    rank[_sorted_within(batch.owner, noise)] = place
    return rank


def _keep(batch: Batch, kept: Tensor) -> Batch:
    return _aged(
        replace(
            batch,
            items=batch.items[kept],
            owner=batch.owner[kept],
            positive=batch.positive[kept],
            age=batch.age[kept],
        )
    )


def _aged(batch: Batch) -> Batch:
    """Count the later positives of each event anew."""
    liked = batch.positive.long()
    running = liked.cumsum(0)
    total = liked.new_zeros(batch.size).index_add(0, batch.owner, liked).cumsum(0)
    return replace(batch, age=(total[batch.owner] - running).to(batch.age.dtype))
