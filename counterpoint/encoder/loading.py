"""From a model name or folder to a checked tower and its tokenizer.

Weights come from safetensors only and nothing that a model brings along is executed: both are fixed
here, not in the configuration.
"""

import hashlib
import logging
from pathlib import Path
from typing import Any, Final

import torch
import transformers
from tokenizers import Tokenizer, normalizers
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedTokenizerBase

from counterpoint import assets
from counterpoint.config.encoder import EncoderConfig, Pooling
from counterpoint.encoder.backbone import TextTower
from counterpoint.errors import ConfigError, SetupError

# A bar for the tensors of each file; how training goes is shown by progress.py.
transformers.logging.disable_progress_bar()

logger = logging.getLogger(__name__)

WEIGHTS: Final = "model.safetensors"
UNREAD: Final = ("pooler.",)
"""Weights that the text vectors do not depend on."""


def resolve(model: str, cache: Path) -> str:
    """Return a local folder for a model name, or the name itself if it must come from a hub."""
    if Path(model).is_dir():
        return str(Path(model))
    if model in assets.SOURCES:
        return str(assets.fetch(model, cache))
    return model


def load_backbone(
    config: EncoderConfig, *, attention: str = "sdpa"
) -> tuple[TextTower, PreTrainedTokenizerBase]:
    """Load weights and tokenizer.

    Args:
        config: Names them.
        attention: How transformers computes it: ``sdpa`` is fast, ``eager`` plain.

    Raises:
        ConfigError: No model is named.
        SetupError: The weights are neither here nor reachable, are other ones than the
            configuration says, are incomplete, or the tokenizer is of another model.
    """
    if config.model is None:
        raise ConfigError(["train.encoder.model is null: there is no encoder to load."])
    source = resolve(config.model, Path(config.cache))
    _check_hash(source, config)
    local = Path(source).is_dir()
    options: dict[str, Any] = {
        "local_files_only": local,
        "trust_remote_code": False,
    }
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
        files = {"tokenizer.json", *tokenizer.vocab_files_names.values()}
        if local and not any((Path(source) / name).is_file() for name in files):
            # Transformers would go on with a vocabulary of nothing.
            raise OSError(f"{source} has no tokenizer: none of {', '.join(sorted(files))}")
        settings = AutoConfig.from_pretrained(source, **options)
        backbone, told = AutoModel.from_pretrained(
            source,
            config=settings,
            attn_implementation=attention,
            dtype=torch.float32,
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        raise SetupError(
            f"Encoder {config.model!r} cannot be loaded: {error}. Allowed: "
            f"{', '.join(assets.SOURCES)}, a local folder with config.json, model.safetensors and "
            "tokenizer.json, or a model name on a reachable hub. Change train.encoder.model."
        ) from error
    _check_complete(told, config)
    for name in told["missing_keys"]:
        # Drawn at random otherwise, and the hash of the weights would change with every load.
        backbone.get_parameter(name).data.zero_()
    _prepare(tokenizer, backbone, config)
    tower = TextTower(backbone, int(settings.hidden_size), pooling_of(backbone, config.pooling))
    return tower.eval(), tokenizer


def pooling_of(backbone: nn.Module, wanted: Pooling) -> Pooling:
    """Return the pooling that ``auto`` stands for."""
    if wanted != "auto":
        return wanted
    return "last_token" if is_decoder(backbone) else "mean"


def is_decoder(backbone: nn.Module) -> bool:
    """Whether a token sees only those before it, as in a language model that writes."""
    config: Any = backbone.config
    if getattr(config, "is_decoder", False):
        return True
    layers = [module for module in backbone.modules() if hasattr(module, "is_causal")]
    return bool(layers) and all(module.is_causal for module in layers)


def prompted(tokenizer: Tokenizer, prompt: str) -> Tokenizer:
    """Have a tokenizer put a prompt before every text itself, so that serving needs to know none.

    Args:
        tokenizer: Changed in place.
        prompt: May be empty.
    """
    if prompt:
        parts = [normalizers.Prepend(prompt)]
        if tokenizer.normalizer is not None:
            parts.append(tokenizer.normalizer)
        tokenizer.normalizer = normalizers.Sequence(parts)
    return tokenizer


def weights_hash(module: nn.Module) -> str:
    """SHA-256 over names, shapes and bytes of all weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _check_hash(source: str, config: EncoderConfig) -> None:
    if config.weights_sha256 is None:
        return
    weights = Path(source) / WEIGHTS
    if not weights.is_file():
        raise SetupError(
            f"train.encoder.weights_sha256 is given, but {weights} is no file. A model whose "
            "weights are checked must be a local folder with one model.safetensors."
        )
    found = assets.sha256(weights)
    if found != config.weights_sha256:
        raise SetupError(
            f"{weights} has the SHA-256 {found}, train.encoder.weights_sha256 says "
            f"{config.weights_sha256}. Restore the weights, or correct the setting."
        )


def _check_complete(told: dict[str, Any], config: EncoderConfig) -> None:
    """Transformers invents what a file lacks, with a warning that is easily overlooked."""
    missing = sorted(name for name in told["missing_keys"] if not name.startswith(UNREAD))
    shapes = [str(found[0]) for found in told.get("mismatched_keys", ())]
    if missing or shapes:
        shown = ", ".join([*missing, *shapes][:3])
        raise SetupError(
            f"The weights of encoder {config.model!r} are incomplete: {len(missing)} tensors are "
            f"missing and {len(shapes)} have another shape than config.json says, such as {shown}. "
            "Restore model.safetensors and config.json of one model."
        )


def _prepare(
    tokenizer: PreTrainedTokenizerBase, backbone: nn.Module, config: EncoderConfig
) -> None:
    """Check the tokenizer against the weights; make it pad and prompt as the tower needs it."""
    if not tokenizer.is_fast:
        raise SetupError(
            f"Encoder {config.model!r} has no tokenizer.json, only a slow tokenizer, which cannot "
            "be served. Save the model with a fast tokenizer."
        )
    rows = int(backbone.get_input_embeddings().weight.shape[0])  # type: ignore[operator]
    largest = max(tokenizer.get_vocab().values(), default=-1)
    if largest >= rows:
        raise SetupError(
            f"The tokenizer of encoder {config.model!r} does not match its weights: it gives ids "
            f"up to {largest}, the weights have {rows} token vectors. Take both from one model."
        )
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token is None:
        raise SetupError(
            f"The tokenizer of encoder {config.model!r} has no token to pad with: none of "
            "pad_token, eos_token and unk_token is set. Add one to tokenizer_config.json."
        )
    positions = getattr(backbone.config, "max_position_embeddings", None)
    if isinstance(positions, int) and 0 < positions < config.max_tokens:
        raise SetupError(
            f"train.encoder.max_tokens = {config.max_tokens}, but {config.model!r} reads at most "
            f"{positions} tokens. Lower it."
        )
    prompted(tokenizer.backend_tokenizer, config.prompt)
