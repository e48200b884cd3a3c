"""A form of the item encoder on disk: graph and tokenizer, as they are served."""

import statistics
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from tokenizers import Tokenizer

from counterpoint import artifacts, onnx_parity
from counterpoint.progress import track

BATCH = 32
TOKENIZER = "tokenizer.json"


class Form:
    """Encodes texts with onnxruntime on one thread.

    Args:
        folder: Holds ``model.onnx`` and ``tokenizer.json``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def graph(self) -> Path:
        """Path of the graph."""
        return self.folder / artifacts.ITEM_ENCODER_ONNX

    @cached_property
    def tokenizer(self) -> Any:
        """Truncates and pads as its file says."""
        return Tokenizer.from_file(str(self.folder / TOKENIZER))

    @cached_property
    def session(self) -> ort.InferenceSession:
        """The graph, loaded."""
        return onnx_parity.session(self.graph)

    @property
    def megabytes(self) -> float:
        """Size of graph and tokenizer in 10^6 bytes."""
        return sum(path.stat().st_size for path in self.folder.iterdir()) / 1e6

    def encode(self, texts: Sequence[str], label: str = "") -> npt.NDArray[np.float32]:
        """Return (N, D) vectors of N texts.

        Args:
            texts: None of them empty.
            label: Shown as progress; empty shows none.
        """
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        chunks = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        parts = [
            self._run([texts[index] for index in chunk])
            for chunk in (track(chunks, label) if label else chunks)
        ]
        found = np.concatenate(parts)
        vectors = np.empty_like(found)
        vectors[order] = found
        return vectors

    def milliseconds(self, texts: Sequence[str], *, size: int, repeats: int) -> float:
        """Return the median CPU time of tokenising and encoding a batch.

        CPU time of this thread, which does it all: other work on the machine changes it little.

        Args:
            texts: Batches are cut from these, from the start again where they end.
            size: Texts in a batch.
            repeats: Batches timed, after one that is not.
        """
        spent = []
        for turn in range(repeats + 1):
            batch = [texts[(turn * size + place) % len(texts)] for place in range(size)]
            started = time.thread_time()
            self._run(batch)
            spent.append(time.thread_time() - started)
        return 1000.0 * statistics.median(spent[1:])

    def _run(self, texts: list[str]) -> npt.NDArray[np.float32]:
        tokens = self.tokenizer.encode_batch(texts)
        feed = {
            "input_ids": np.array([t.ids for t in tokens], dtype=np.int64),
            "attention_mask": np.array([t.attention_mask for t in tokens], dtype=np.int64),
        }
        (vectors,) = self.session.run(["vector"], feed)
        return np.asarray(vectors)
