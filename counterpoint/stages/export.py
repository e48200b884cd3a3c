"""Stage export: the trained model as ONNX graphs, refused unless they answer as torch does."""

import hashlib
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from counterpoint import artifacts, columns, onnx_parity, tables, user_snapshot
from counterpoint.atomic import replaced_folder
from counterpoint.compression.variants import UNCOMPRESSED
from counterpoint.config.serve import ExportConfig
from counterpoint.feature_users import histories_of
from counterpoint.histories import Histories
from counterpoint.item_vectors import similarity_map, similarity_vectors
from counterpoint.large_export import Recall, check_recall, export_large
from counterpoint.onnx_graphs import TENSORS, export_recommender
from counterpoint.recommender import Recommender
from counterpoint.reranker import export as reranker_export
from counterpoint.reranker import model as rerankers
from counterpoint.tables import write_json
from counterpoint.user_snapshot import StoredUser

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExportResult:
    """Key figures of the stage.

    Attributes:
        parity_users: Users whose lists were compared with torch.
        score_difference: Largest difference of scores.
        swaps: Ranks at which an item of an equal score stands; none: the catalogue has an index.
        recall: Share of the lists of scoring every item that is found; none: every item is scored.
        encoder_difference: Largest difference of item text vectors, before any compression; none:
            trained without text.
        encoder_mb: Size of the served item encoder in 10^6 bytes.
        stored_users: Users in the snapshot.
        recommender_mb: Size of the graph in 10^6 bytes.
        seconds: Duration.
        reranker_difference: Largest difference of the re-ranker's answers; none: there is none.
        compression: Smaller forms of the item encoder, see compression/table.py; none: not tried.
    """

    parity_users: int
    score_difference: float
    swaps: int | None
    recall: float | None
    encoder_difference: float | None
    encoder_mb: float | None
    stored_users: int
    recommender_mb: float
    seconds: float
    reranker_difference: float | None = None
    compression: dict[str, Any] | None = None

    @property
    def figures(self) -> dict[str, float]:
        """Key figures."""
        return {name: value for name, value in vars(self).items() if isinstance(value, int | float)}


@dataclass(frozen=True)
class _Encoder:
    """The exported item encoder: parity, size, which form, and what was tried."""

    difference: float
    megabytes: float
    form: str
    compression: dict[str, Any]


def run(config: ExportConfig, *, model: Path, features: Path, onnx: Path) -> ExportResult:
    """Write the ONNX graphs and what a served version needs beside them.

    Args:
        config: Opset, longest list, parity check.
        model: Model folder of the train stage.
        features: Features folder: real users for the check, and the snapshot of their histories.
        onnx: Folder to write; replaced as a whole when everything is complete.

    Raises:
        DataError: The model folder is damaged or the encoder's weights are other ones.
        QualityError: A graph answers otherwise than torch; names the worst user.
    """
    started = time.monotonic()
    recommender = Recommender.load(model)
    recommender.module.max_k = config.max_k
    users = histories_of(features, recommender)
    with replaced_folder(onnx) as folder:
        graph = folder / artifacts.RECOMMENDER_ONNX
        sample = _sample(users, config.parity_users)
        retrieval: dict[str, Any] | None = None
        check: onnx_parity.Parity | Recall
        if recommender.n_items > config.max_exact_items:
            retrieval = export_large(recommender, graph, sample, config)
            check = check_recall(graph, recommender, sample, config)
            retrieval["recall"] = check.overlap
        else:
            export_recommender(recommender, graph, opset=config.opset)
            check = onnx_parity.check_recommender(
                graph, recommender, sample, k=config.max_k, tolerance=config.tolerance
            )
        items = tables.conform(
            pl.read_parquet(features / artifacts.ITEMS), columns.ITEMS, table="items"
        )
        encoder = _export_encoder(recommender, users, items, folder, config)
        description = contract(recommender, config, graph)
        description["item_encoder"] = encoder and encoder.form
        if retrieval is not None:
            description["retrieval"] = retrieval
        reranker = rerankers.find(model, recommender)
        judged: float | None = None
        if reranker is not None:
            target = folder / artifacts.RERANKER_ONNX
            judged = reranker_export.write(reranker, recommender, sample, target, config)
            description["reranker"] = reranker_export.contract(reranker)
        write_json(folder / artifacts.CONTRACT, description)
        with_availability(recommender.items, items).write_parquet(folder / artifacts.ITEMS)
        np.save(folder / artifacts.ITEM_VECTORS, similarity_vectors(recommender.module))
        np.save(folder / artifacts.SIMILARITY_MAP, similarity_map(recommender.module))
        stored = user_snapshot.write(
            folder / artifacts.USERS_SNAPSHOT,
            stored_users(users, recommender.settings.history_length),
        )
        size = graph.stat().st_size
    result = ExportResult(
        parity_users=check.users,
        score_difference=check.score_difference,
        swaps=check.swaps if isinstance(check, onnx_parity.Parity) else None,
        recall=check.overlap if isinstance(check, Recall) else None,
        encoder_difference=encoder.difference if encoder else None,
        encoder_mb=encoder.megabytes if encoder else None,
        compression=encoder.compression or None if encoder else None,
        stored_users=stored,
        recommender_mb=round(size / 1e6, 3),
        seconds=round(time.monotonic() - started, 2),
        reranker_difference=judged,
    )
    logger.info("export: %s", result.figures)
    return result


def contract(recommender: Recommender, config: ExportConfig, graph: Path) -> dict[str, Any]:
    """Return what a caller of the graph must know."""
    with graph.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    settings = recommender.settings
    return {
        "format": artifacts.CONTRACT_FORMAT,
        "max_k": config.max_k,
        "history_length": settings.history_length,
        "profile": list(settings.profile),
        "attributes": settings.attributes,
        "item_attributes": settings.attributes.get("item", {}),
        "item_vocabulary": list(settings.item_vocabulary),
        "attribute_weight": settings.attribute_weight,
        "text_width": recommender.text_width,
        "modalities": [asdict(modality) for modality in settings.modalities],
        "n_items": recommender.n_items,
        "cold": cold_items(recommender),
        "model_sha256": digest,
        "tensors": TENSORS,
        "opset": config.opset,
    }


def with_availability(known: pl.DataFrame, described: pl.DataFrame) -> pl.DataFrame:
    """Return a model's items with the time they may be recommended in.

    Args:
        known: (N,) rows of item_id, title, attributes in index order.
        described: Canonical items; those that lack an item leave it always available.
    """
    window = described.select(columns.ITEM, columns.AVAILABLE_FROM, columns.AVAILABLE_UNTIL)
    return known.join(
        window.unique(columns.ITEM, keep="first"),
        on=columns.ITEM,
        how="left",
        maintain_order="left",
    )


def cold_items(recommender: Recommender) -> list[int]:
    """Return the one-based indices of the items that had no interactions in training."""
    warm = recommender.module.cold.warm.tolist()
    return [i for i in range(1, recommender.n_items + 1) if i > len(warm) or not warm[i - 1]]


def stored_users(users: Histories, length: int) -> Iterator[StoredUser]:
    """Yield what the online store would hold: each user's newest events and attributes."""
    for row, user in enumerate(users.user_ids):
        end = int(users.indptr[row + 1])
        part = slice(max(int(users.indptr[row]), end - length), end)
        yield StoredUser(
            user,
            (users.items[part] + 1).tolist(),
            users.positive[part].tolist(),
            list(users.attributes[row]),
        )


def _sample(users: Histories, size: int) -> Histories:
    """Return users spread evenly over the lengths of history, shortest and longest included."""
    order = np.argsort(np.diff(users.indptr), kind="stable")
    places = np.linspace(0, len(order) - 1, min(size, len(order))).round().astype(np.int64)
    return users.take(order[places])


def _export_encoder(
    recommender: Recommender,
    users: Histories,
    items: pl.DataFrame,
    folder: Path,
    config: ExportConfig,
) -> _Encoder | None:
    """Write and check the item encoder, or a smaller form that is accepted in its place."""
    if recommender.settings.encoder is None:
        logger.info("The model was trained without text: no item encoder is exported")
        return None
    # Only here is the language model needed.
    from counterpoint import encoder_export

    encoder = encoder_export.load(recommender.settings)
    target = folder / artifacts.ITEM_ENCODER
    difference = encoder_export.write(encoder, items, target, config)
    found: dict[str, Any] = {}
    if config.compression.variants:
        from counterpoint.compression import compare

        found = compare.shrink(recommender, encoder, users, items, target, config)
        write_json(folder / artifacts.COMPRESSION, found)
    size = sum(path.stat().st_size for path in target.iterdir())
    return _Encoder(difference, round(size / 1e6, 3), found.get("served", UNCOMPRESSED), found)
