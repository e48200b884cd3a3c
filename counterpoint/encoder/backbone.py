"""Language-model backbone with mean pooling: token ids in, unit vectors out."""

import hashlib
import logging
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedTokenizerBase

from counterpoint import assets
from counterpoint.errors import SetupError

logger = logging.getLogger(__name__)


class TextTower(nn.Module):
    """Mean of the last hidden states over the attended tokens, L2-normalised.

    Sentence-BERT pooling (Reimers and Gurevych 2019). Attention is ``eager`` so that the module
    exports to ONNX with dynamic batch and sequence axes.

    Args:
        backbone: Any encoder or decoder of transformers that returns ``last_hidden_state``.
        dim: Width D of its hidden states.
    """

    def __init__(self, backbone: nn.Module, dim: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.dim = dim

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return (B, D) float32 unit vectors.

        Args:
            input_ids: (B, T) int64.
            attention_mask: (B, T) int64, 1 for tokens and 0 for padding.
        """
        output = self.backbone(input_ids=input_ids, attention_mask=attention_mask)
        hidden = output.last_hidden_state.float()  # (B, T, D)
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1.0)
        return nn.functional.normalize(mean, dim=-1)


def resolve(model: str, cache: Path) -> str:
    """Return a local folder for a model name, or the name itself if it must come from a hub."""
    if Path(model).is_dir():
        return str(Path(model))
    if model in assets.SOURCES:
        return str(assets.fetch(model, cache))
    return model


def load_backbone(model: str, cache: Path) -> tuple[TextTower, PreTrainedTokenizerBase]:
    """Load weights and tokenizer.

    Args:
        model: Named weights of assets.py, a local folder, or a model name on a hub.
        cache: Folder of downloaded assets.

    Raises:
        SetupError: The weights are neither here nor reachable.
    """
    source = resolve(model, cache)
    options = {"local_files_only": Path(source).is_dir()}
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
        settings = AutoConfig.from_pretrained(source, **options)
        backbone = AutoModel.from_pretrained(
            source, config=settings, attn_implementation="eager", dtype=torch.float32, **options
        )
    except (OSError, ValueError) as error:
        raise SetupError(
            f"Encoder {model!r} cannot be loaded: {error}. Allowed: {', '.join(assets.SOURCES)}, a "
            "local folder with config.json, model.safetensors and tokenizer.json, or a model name "
            "on a reachable hub. Change train.encoder.model."
        ) from error
    return TextTower(backbone, int(settings.hidden_size)).eval(), tokenizer


def weights_hash(module: nn.Module) -> str:
    """SHA-256 over names, shapes and bytes of all weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
