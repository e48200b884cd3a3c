"""Training pairs and encoded texts per second beside sentence-transformers, on the same work.

Both train the last blocks of the same backbone on the same pairs with an InfoNCE loss at one
temperature, in float32 on one thread, each in a process of its own.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.encoder import task as tasks
from counterpoint.config import Config
from counterpoint.encoder import TextEncoder, blocks
from counterpoint.encoder.loading import resolve
from counterpoint.encoder.tuning import Tuner
from counterpoint.isolation import peak_rss_mb

TEMPERATURE = 0.05
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
    inner = model[0].auto_model
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


def encode_ours(settings: Config, texts: list[str]) -> dict[str, float]:
    """Encode texts here; return the CPU seconds and peak memory."""
    torch.set_num_threads(1)
    encoder = TextEncoder(settings.train.encoder.model_copy(update={"tune": None}))
    encoder.encode(texts[:64], keep=False)
    begun = time.process_time()
    encoder.encode(texts, keep=False)
    return {"seconds": time.process_time() - begun, "peak_mb": peak_rss_mb()}


def encode_theirs(settings: Config, texts: list[str]) -> dict[str, float]:
    """Encode texts with SentenceTransformer.encode; return the same."""
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    encoder = settings.train.encoder
    assert encoder.model is not None
    model = SentenceTransformer(
        resolve(encoder.model, Path(encoder.cache)), device="cpu", local_files_only=True
    )
    model.max_seq_length = encoder.max_tokens
    model.encode(texts[:64], batch_size=encoder.batch_size, normalize_embeddings=True)
    begun = time.process_time()
    model.encode(texts, batch_size=encoder.batch_size, normalize_embeddings=True)
    return {"seconds": time.process_time() - begun, "peak_mb": peak_rss_mb()}
