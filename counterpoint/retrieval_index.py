"""Builds the indexes of a large catalogue.

Product quantisation with 4-bit codes, two dimensions a code (Jégou, Douze and Schmid, PAMI 2011),
scanned in registers (André, Kermarrec and Le Scouarnec, ICMR 2017): 0.25 bytes a dimension and
item. Every item is looked at, so vectors without any clusters are found as well. A random rotation
spreads the variance evenly over the codes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from counterpoint.candidate_graph import CandidateModule
from counterpoint.candidate_scores import CandidateScores
from counterpoint.joint_moments import CHUNK, blocks, rows
from counterpoint.model_inputs import Inputs

FEWEST = 20_000
"""Below, the index is exact: quantising would save nothing."""

TRAINED_ON = 100_000
"""Vectors that the codes are learned from."""


def factory(width: int, count: int) -> str:
    """Return the faiss description of an index of ``count`` vectors of ``width`` dimensions."""
    if count < FEWEST:
        return "Flat"
    even = width + width % 2
    return f"RR{even},PQ{even // 2}x4fs"


def block_scales(scorer: CandidateScores, users: Inputs) -> tuple[float, float, float]:
    """Return what the scores of tower, factors and prior are multiplied with for a usual user.

    The index holds the products, so that its quantisation errs least where most depends on it.
    """
    with torch.inference_mode():
        tensors = [torch.from_numpy(value) for value in vars(users).values()]
        read = scorer.users(*tensors)
        eligible = torch.ones(len(users.history), len(scorer.head), dtype=torch.bool)
        fused = scorer.fuse(read, None, eligible)
    part = scorer.blocks
    liked = read.positives.squeeze(1) > 0

    def usual(own: Tensor, used: Tensor) -> float:
        chosen = liked if bool(liked.any()) else torch.ones_like(liked)
        ratio = used.norm(dim=1) / own.norm(dim=1).clamp(min=1e-12)
        return float(ratio[chosen].mean()) if own.shape[1] else 0.0

    scales = [
        usual(read.tower, fused.query[:, part.tower]),
        usual(read.factors, fused.query[:, part.factors]),
        usual(read.prior[:, :1], fused.query[:, part.prior][:, :1]),
    ]
    least = max(1e-3 * max(scales), 1e-6)
    tower, factors, prior = (max(scale, least) for scale in scales)
    return tower, factors, prior


def write(
    module: CandidateModule, folder: Path, *, scales: Sequence[float], threads: int
) -> dict[str, Any]:
    """Write index files and item lists into an existing folder.

    Args:
        module: The candidate graph.
        folder: See retrieval.py.
        scales: Of ``block_scales``.
        threads: Of the build.

    Returns:
        For the contract: kind of each index and their size in 10^6 bytes.
    """
    base, scorer = module.base, module.scorer
    outside = base.cold.warm.clone()
    outside[scorer.head] = False
    warm = torch.nonzero(outside).squeeze(1)
    part = blocks(base)
    sizes = [part.tower.stop, part.factors.stop - part.factors.start, 1]
    scale = torch.repeat_interleave(torch.tensor(list(scales)), torch.tensor(sizes))
    mean = scorer.mean[: len(scale)]

    def vectors(items: Tensor) -> Tensor:
        # Centred: the same for all items, so it moves no item before another, but costs codes.
        return (rows(base, items, shifts=False) - mean) * scale

    facts = {"warm": _write(folder / "warm.faiss", warm, vectors, threads)}
    if not module.exact_cold:
        cold = torch.arange(len(module.cold_items))
        facts["cold"] = _write(
            folder / "cold.faiss", cold, lambda places: module.cold_features[places], threads
        )
    for name, items in (("head", scorer.head), ("warm", warm), ("cold", module.cold_items)):
        np.save(folder / f"{name}.npy", items.numpy() + 1)
    return facts


def _write(path: Path, items: Tensor, vectors: Any, threads: int) -> dict[str, Any]:
    import faiss

    faiss.omp_set_num_threads(threads)
    if not len(items):
        return {"index": "none", "items": 0, "mb": 0.0}
    width = int(vectors(items[:1]).shape[1])
    kind = factory(width, len(items))
    index = faiss.index_factory(width, kind, faiss.METRIC_INNER_PRODUCT)
    if not index.is_trained:
        drawn = torch.randperm(len(items), generator=torch.Generator().manual_seed(0))
        index.train(vectors(items[drawn[:TRAINED_ON].sort().values]).numpy())
    for some in items.split(CHUNK):
        index.add(vectors(some).numpy())
    faiss.write_index(index, str(path))
    return {"index": kind, "items": len(items), "mb": round(path.stat().st_size / 1e6, 3)}
