"""The item encoder of a version in this process: texts in, unit vectors out.

Runs inside Triton: standard library and numpy; onnxruntime and tokenizers when first used.
"""

import hashlib
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

BATCH = 32
"""Texts in one run; similar lengths together waste little on padding."""

FILES = ("model.onnx", "tokenizer.json", "model.onnx.data")
"""The last only of a graph that is larger than one file can be."""

SERVED = tuple((f"item_encoder/{name}", f"onnx/item_encoder/{name}") for name in FILES)
"""``optional_files`` of the models that encode items themselves."""


class TextEncoder:
    """Loads its graph when the first text comes, so that holding one costs nothing.

    Args:
        folder: ``item_encoder/`` of a version: the graph and its tokenizer.
        threads: Threads of one run.
    """

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        self._folder = folder
        self._threads = threads
        self._lock = threading.Lock()
        self._loaded: tuple[Any, Any] | None = None

    @cached_property
    def sha256(self) -> str:
        """Names what decides the vectors: the graph (weights, precision) and the tokenizer."""
        digest = hashlib.sha256()
        for name in FILES:
            if (self._folder / name).is_file():
                with (self._folder / name).open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return (N, T) unit vectors.

        Args:
            texts: N texts, none empty.
        """
        tokenizer, session = self._load()
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        vectors: dict[int, npt.NDArray[np.float32]] = {}
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            tokens = tokenizer.encode_batch([texts[index] for index in batch])
            found = session.run(
                {
                    "input_ids": np.array([t.ids for t in tokens], dtype=np.int64),
                    "attention_mask": np.array([t.attention_mask for t in tokens], dtype=np.int64),
                }
            )["vector"]
            vectors.update(zip(batch, found, strict=True))
        return np.stack([vectors[index] for index in range(len(texts))]).astype(np.float32)

    def release(self) -> None:
        """Give the memory of the graph back; the next text loads it again."""
        with self._lock:
            self._loaded = None

    def _load(self) -> tuple[Any, Any]:
        with self._lock:
            if self._loaded is None:
                from tokenizers import Tokenizer

                from serving.onnx_session import OnnxSession

                # Truncation and padding are part of the tokenizer's file.
                self._loaded = (
                    Tokenizer.from_file(str(self._folder / "tokenizer.json")),
                    OnnxSession(self._folder / "model.onnx", threads=self._threads),
                )
            return self._loaded


def find(model: Path) -> TextEncoder | None:
    """Return the encoder beside a model; none: the version was trained without text."""
    folder = model / "item_encoder"
    return TextEncoder(folder) if (folder / "model.onnx").is_file() else None
