"""Training pairs and encoded texts per second beside sentence-transformers, on the same work.

Both train the last blocks of the same backbone on the same pairs with an InfoNCE loss at one
temperature, in float32 on one thread, each in a process of its own.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.encoder import task as tasks
from counterpoint import tables
from counterpoint.config import Config
from counterpoint.config.encoder import Precision
from counterpoint.encoder import TextEncoder, blocks
from counterpoint.encoder.loading import resolve
from counterpoint.encoder.tuning import Tuner
from counterpoint.isolation import peak_rss_mb
from counterpoint.text import item_texts

Vectors = npt.NDArray[np.float32]

TEMPERATURE = 0.05
WARM_UP = 64
MINI_BATCH = 64


def configured(settings: Config, batch_size: int, steps: int) -> Config:
    """Return settings that train on pairs alone, as the other side does."""
    encoder = settings.train.encoder
    assert encoder.tune is not None
    tune = encoder.tune.model_copy(
        update={
            "regression": 0.0,
            "supervised": 1.0,
            "logq": False,
            "temperature": TEMPERATURE,
            "precision": "float32",
            "batch_size": batch_size,
            "max_steps": steps,
            "evaluate_steps": steps,
            "patience": 99,
        }
    )
    encoder = encoder.model_copy(update={"tune": tune})
    train = settings.train.model_copy(update={"encoder": encoder})
    return settings.model_copy(update={"train": train})


def ours(settings: Config, folder: Path, batch_size: int, steps: int) -> dict[str, Any]:
    """Train here; return seconds of preparation and of the steps, memory and NDCG@10."""
    torch.set_num_threads(1)
    settings = configured(settings, batch_size, steps)
    trainable, task, _ = tasks.load(settings, folder)
    assert settings.train.encoder.tune is not None
    tuner = Tuner(trainable, task, settings.train.encoder.tune, seed=0)
    weights = list(trainable.parameters().values())
    optimizer = torch.optim.AdamW(weights, lr=settings.train.encoder.tune.learning_rate)
    base = peak_rss_mb()
    begun = time.process_time()
    with tuner.reader.open():
        prepared = time.process_time() - begun
        trainable.tower.train()
        begun, texts = time.process_time(), 0
        for step in range(steps):
            optimizer.zero_grad()
            texts += tuner.gradients(step)[1]
            optimizer.step()
        spent = time.process_time() - begun
        peak = peak_rss_mb()
        ndcg = float(tuner.measure().mean()) if task.probe else None
    return {
        "pairs": batch_size * steps,
        "seconds": spent,
        "prepare_seconds": prepared,
        "texts": texts,
        "peak_mb": peak,
        "base_mb": base,
        "ndcg": ndcg,
    }


def theirs(settings: Config, folder: Path, batch_size: int, steps: int) -> dict[str, Any]:
    """Train with CachedMultipleNegativesRankingLoss; return the same."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.losses import (
        CachedMultipleNegativesRankingLoss,
    )

    torch.set_num_threads(1)
    settings = configured(settings, batch_size, steps)
    encoder = settings.train.encoder
    assert encoder.tune is not None and encoder.model is not None
    trainable, task, texts = tasks.load(settings, folder)
    tuner = Tuner(trainable, task, encoder.tune, seed=0)
    model = SentenceTransformer(
        resolve(encoder.model, Path(encoder.cache)), device="cpu", local_files_only=True
    )
    model.max_seq_length = encoder.max_tokens
    model.requires_grad_(False)
    inner: Any = model[0].auto_model
    for block in blocks.find(inner)[-(encoder.tune.weights.layers or 0) :]:
        block.requires_grad_(True)
    loss = CachedMultipleNegativesRankingLoss(
        model, scale=1 / TEMPERATURE, mini_batch_size=MINI_BATCH
    )
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=encoder.tune.learning_rate)
    model.train()
    base = peak_rss_mb()
    begun = time.process_time()
    for step in range(steps):
        optimizer.zero_grad()
        sides = tasks.pairs_of(tuner, texts, step, count=batch_size, seed=0)
        loss([model.preprocess(side) for side in sides], None).backward()
        optimizer.step()
    spent = time.process_time() - begun
    peak = peak_rss_mb()
    ndcg = None
    if task.probe is not None:
        model.eval()
        vectors = model.encode(texts, batch_size=MINI_BATCH, normalize_embeddings=True)
        text = np.zeros((len(task.row), vectors.shape[1]), dtype=np.float32)
        text[task.row >= 0] = vectors[task.row[task.row >= 0]]
        ndcg = float(task.probe.look(text).mean())
    return {
        "pairs": batch_size * steps,
        "seconds": spent,
        "prepare_seconds": 0.0,
        "texts": 2 * batch_size * steps,
        "peak_mb": peak,
        "base_mb": base,
        "ndcg": ndcg,
    }


def texts_of(folder: Path) -> list[str]:
    """Return the different item texts of a folder of canonical tables."""
    return sorted({text for text in item_texts(tables.read(folder).items) if text})


def at(settings: Config, precision: Precision) -> Config:
    """Return settings that encode in a precision."""
    encoder = settings.train.encoder.model_copy(update={"precision": precision})
    train = settings.train.model_copy(update={"encoder": encoder})
    return settings.model_copy(update={"train": train})


def encode_ours(settings: Config, texts: list[str]) -> tuple[float, Vectors]:
    """Encode texts here; return the CPU seconds and the vectors."""
    torch.set_num_threads(1)
    encoder = TextEncoder(settings.train.encoder.model_copy(update={"tune": None}))
    encoder.encode(texts[:WARM_UP], keep=False, cached=False)
    begun = time.process_time()
    vectors = encoder.encode(texts, keep=False, cached=False)
    return time.process_time() - begun, vectors


def encode_theirs(settings: Config, texts: list[str]) -> tuple[float, Vectors]:
    """Encode texts with SentenceTransformer.encode, in float32 if not bfloat16; return the same."""
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    encoder = settings.train.encoder
    assert encoder.model is not None
    model = SentenceTransformer(
        resolve(encoder.model, Path(encoder.cache)),
        device="cpu",
        local_files_only=True,
        model_kwargs={"dtype": torch.bfloat16} if encoder.precision == "bfloat16" else None,
    )
    model.max_seq_length = encoder.max_tokens
    options: dict[str, Any] = {"batch_size": encoder.batch_size, "normalize_embeddings": True}
    model.encode(texts[:WARM_UP], **options)
    begun = time.process_time()
    vectors = model.encode(texts, **options)
    return time.process_time() - begun, vectors.astype(np.float32)
