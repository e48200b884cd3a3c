"""Exports a catalogue that is too large to score every item: graphs, index, measured recall."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from counterpoint.candidate_graph import CandidateModule, QueryModule
from counterpoint.config.serve import ExportConfig
from counterpoint.errors import QualityError
from counterpoint.fusion import TOP
from counterpoint.histories import Histories
from counterpoint.onnx_graphs import export_module
from counterpoint.progress import track
from counterpoint.recommender import Recommender
from counterpoint.retrieval import FOLDER, Retrieval
from counterpoint.retrieval_index import block_scales, write
from counterpoint.tables import write_json

_OUTPUTS = ("item", "score", "reason", "taste")


@dataclass(frozen=True)
class Recall:
    """How near the lists are to those of scoring every item.

    Attributes:
        users: Number of users compared.
        overlap: Share of the dense lists' items that are in the lists.
        score_difference: Largest difference of the scores of items in both.
    """

    users: int
    overlap: float
    score_difference: float


def export_large(
    recommender: Recommender, graph: Path, users: Histories, config: ExportConfig
) -> dict[str, Any]:
    """Write the candidate graph, and beside it the folder ``retrieval``.

    Args:
        recommender: The model.
        graph: Path of ``recommender.onnx``.
        users: Real users: for the scales of the index.
        config: Sizes.

    Returns:
        ``retrieval`` of contract.json.
    """
    base = recommender.module.eval()
    n_cold = recommender.n_items - int(base.cold.warm.sum())
    exact_cold = n_cold <= config.max_exact_cold_items
    module = CandidateModule(base, popular=config.popular_items, exact_cold=exact_cold).eval()
    scales = block_scales(module.scorer, recommender.inputs(users))
    folder = graph.parent / FOLDER
    folder.mkdir()
    indexes = write(module, folder, scales=scales, threads=1)
    n_head = len(module.scorer.head)
    long = torch.int64
    history = {
        "history": torch.tensor([[1, 1, 0], [1, 0, 0]], dtype=long),
        "history_age": torch.zeros(2, 3),
        "history_kind": torch.tensor([[2, 1, 0], [1, 0, 0]], dtype=long),
        "profile": torch.zeros(2, max(1, len(recommender.settings.profile))),
    }
    free = {name: {0: "B", 1: "L"} for name in history} | {"profile": {0: "B"}}
    export_module(
        QueryModule(module.scorer, scales),
        history,
        ["query", "theta"],
        free | {"query": {0: "B"}, "theta": {0: "B"}},
        folder / "query.onnx",
        opset=config.opset,
    )
    n_cold_columns = n_cold if exact_cold else 2
    example = history | {
        "candidates": torch.zeros(2, 2, dtype=long),
        "cold": torch.zeros(2, n_cold_columns, dtype=long),
        "standing": torch.full((2, n_head + 2 + n_cold_columns), 2, dtype=long),
        "k": torch.ones(2, 1, dtype=long),
    }
    free |= {"candidates": {0: "B", 1: "C"}, "cold": {0: "B", 1: "Z"}}
    free |= {"standing": {0: "B", 1: "S"}, "k": {0: "B"}, "taste": {0: "B"}}
    free |= {name: {0: "B", 1: "K"} for name in ("item", "score", "reason")}
    export_module(module, example, list(_OUTPUTS), free, graph, opset=config.opset)
    top = base.weights.normalisation == "top"
    settings = {
        # The best scores of each scorer, less the history, are what the normalisation looks at.
        "candidates": max(config.candidates, 2 * TOP) if top else config.candidates,
        "cold_candidates": config.cold_candidates,
        "exact_cold": exact_cold,
        "head": n_head,
        "cold": n_cold,
        "indexes": indexes,
    }
    write_json(folder / "settings.json", settings)
    return settings


def check_recall(
    graph: Path,
    recommender: Recommender,
    users: Histories,
    config: ExportConfig,
) -> Recall:
    """Compare the lists of real users with those of scoring every item in torch.

    Raises:
        QualityError: Fewer of the items are found than ``export.min_recall`` asks for.
    """
    found = Retrieval(graph, graph.parent / FOLDER)
    k = min(config.max_k, recommender.n_items)
    shares, largest = [], 0.0
    for row in track(range(len(users)), "Check the index against scoring every item"):
        inputs = vars(recommender.inputs(users.take(np.array([row]))))
        ours = found.run({**inputs, "k": np.array([[k]])})
        none = torch.zeros((1, 1), dtype=torch.int64)
        with torch.inference_mode():
            tensors = [torch.from_numpy(value) for value in inputs.values()]
            item, score, *_ = recommender.module(*tensors, none, none, torch.tensor([[k]]))
        wanted = dict(zip(item[0].tolist(), score[0].tolist(), strict=True))
        wanted.pop(0, None)
        got = dict(zip(ours["item"][0].tolist(), ours["score"][0].tolist(), strict=True))
        both = wanted.keys() & got.keys()
        shares.append(len(both) / len(wanted) if wanted else 1.0)
        largest = max([largest, *(abs(wanted[i] - got[i]) for i in both)])
    overlap = float(np.mean(shares)) if shares else 1.0
    if overlap < config.min_recall:
        raise QualityError(
            f"The index finds {overlap:.4f} of the items that scoring every item recommends; "
            f"export.min_recall is {config.min_recall}. Raise export.candidates "
            f"({config.candidates}) or export.max_exact_items ({config.max_exact_items}). The "
            "model is not exported."
        )
    return Recall(len(users), overlap, largest)
