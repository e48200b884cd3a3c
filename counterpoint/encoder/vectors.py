"""Text vectors with a cache: a text is encoded once per set of weights."""

import hashlib
import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from transformers import PreTrainedTokenizerBase

from counterpoint.config.encoder import EncoderConfig
from counterpoint.devices import resolve_device
from counterpoint.encoder.backbone import TextTower
from counterpoint.encoder.loading import load_backbone, weights_hash
from counterpoint.encoder.tokens import tokenise
from counterpoint.precision import in_bfloat16
from counterpoint.progress import track

logger = logging.getLogger(__name__)


class TextEncoder:
    """Encodes texts into unit vectors; equal texts share one vector.

    Args:
        config: The encoder.
        loaded: Tower and tokenizer, if they are there already; else ``load_backbone``.

    Attributes:
        module: (input_ids, attention_mask) -> (B, D) on the CPU; what export writes as
            ``item_encoder``.
        tokenizer: The tokenizer of the backbone.
        dim: D.
        weights_sha256: Identifies the weights in the cache and in model.json.
        precision: Of the products.
    """

    def __init__(
        self,
        config: EncoderConfig,
        *,
        loaded: tuple[TextTower, PreTrainedTokenizerBase] | None = None,
    ) -> None:
        self.config = config
        self.cache = Path(config.cache)
        self.module, self.tokenizer = loaded or load_backbone(config)
        self.weights_sha256 = weights_hash(self.module)
        self.dim = self.module.dim
        self._device = resolve_device(config.device)
        half = in_bfloat16(config.precision, self._device)
        self.precision: Literal["float32", "bfloat16"] = "bfloat16" if half else "float32"

    def encode(
        self, texts: Sequence[str], *, keep: bool = True, cached: bool = True
    ) -> npt.NDArray[np.float32]:
        """Return (N, D) unit vectors; an empty text gives a zero vector.

        Args:
            texts: N texts.
            keep: Add new vectors to the cache.
            cached: Use the vectors that are in the cache.
        """
        distinct = sorted({text for text in texts if text})
        vectors = np.zeros((len(distinct), self.dim), dtype=np.float32)
        known = self._read_cache() if cached else {}
        missing = []
        for row, text in enumerate(distinct):
            vector = known.get(_digest(text))
            if vector is None:
                missing.append(row)
            else:
                vectors[row] = vector
        if missing:
            vectors[missing] = self._compute([distinct[row] for row in missing])
            if keep:
                new = {_digest(distinct[row]): vectors[row] for row in missing}
                self._write_cache((known or self._read_cache()) | new)
        rows = {text: row for row, text in enumerate(distinct)}
        out = np.zeros((len(texts), self.dim), dtype=np.float32)
        for index, text in enumerate(texts):
            if text:
                out[index] = vectors[rows[text]]
        return out

    def _compute(self, texts: list[str]) -> npt.NDArray[np.float32]:
        config = self.config
        table = tokenise(texts, self.tokenizer, max_tokens=config.max_tokens)
        # Batches of equal length waste little on padding.
        everything = np.arange(len(texts), dtype=np.int64)
        chunks = table.chunks(everything, config.batch_size * config.max_tokens)
        out = np.zeros((len(texts), self.dim), dtype=np.float32)
        device, half = self._device, self.precision == "bfloat16"
        self.module.to(device)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=half):
            for rows in track(chunks, "Encode item texts"):
                ids, mask = (part.to(device) for part in table.batch(rows))
                out[rows] = self.module(ids, mask).float().cpu().numpy()
        # Training, explanation and export take it from there.
        self.module.to("cpu")
        return out

    @property
    def _path(self) -> Path:
        config = self.config
        read = f"{config.max_tokens}-{self.module.pooling}-{config.prompt}-{self.precision}"
        key = f"{self.weights_sha256[:16]}-{_digest(read)[:8]}"
        return self.cache / "vectors" / f"{key}.safetensors"

    def _read_cache(self) -> dict[str, npt.NDArray[np.float32]]:
        if not self._path.is_file():
            return {}
        try:
            stored = load_file(self._path)
        except (SafetensorError, OSError) as error:
            logger.warning("Text vector cache %s is damaged (%s): encoding anew", self._path, error)
            return {}
        keys = stored["keys"].tobytes()
        return {
            keys[row * 32 : row * 32 + 32].hex(): vector
            for row, vector in enumerate(stored["vectors"])
        }

    def _write_cache(self, known: dict[str, npt.NDArray[np.float32]]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        tensors: dict[str, npt.NDArray] = {
            "keys": np.frombuffer(bytes.fromhex("".join(known)), dtype=np.uint8).copy(),
            "vectors": np.stack(list(known.values())),
        }
        handle, name = tempfile.mkstemp(dir=self._path.parent, suffix=".tmp")
        os.close(handle)
        save_file(tensors, name)
        os.replace(name, self._path)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
