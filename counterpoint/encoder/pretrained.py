"""An encoder pre-trained on histories as text: found in the cache, or trained and kept there."""

import hashlib
import json
import logging
import os
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
import torch
from filelock import FileLock
from transformers import PreTrainedTokenizerBase

from counterpoint import assets, tables
from counterpoint.atomic import replaced_folder
from counterpoint.config.encoder import EncoderConfig
from counterpoint.config.pretrain import PretrainConfig
from counterpoint.devices import resolve_device
from counterpoint.encoder import (
    language_head,
    loading,
    pretraining,
    saved,
    trainable,
)
from counterpoint.encoder.backbone import TextTower
from counterpoint.encoder.behaviour_tokens import Behaviour
from counterpoint.encoder.foretelling import Foreteller
from counterpoint.encoder.hidden_histories import Divided, Hiding, divide, gather
from counterpoint.encoder.pretraining_figures import measure
from counterpoint.errors import ConfigError
from counterpoint.isolation import peak_rss_mb

logger = logging.getLogger(__name__)

FOLDER = "pretrained"
REPORT = "pretraining.json"
WHERE = "train.encoder.pretrain"
KEPT = 3
"""Pre-trained encoders that stay in the cache, the newest."""


def pretrain(
    interactions: pl.DataFrame,
    items: pl.DataFrame,
    users: pl.DataFrame,
    config: EncoderConfig,
    *,
    seed: int,
    workdir: Path,
) -> tuple[EncoderConfig, dict[str, Any]]:
    """Return the configuration of the encoder that everything after this starts from.

    Only events of the train fold are read, by the final fit too: the validation targets of the
    first fit must not be known to the text vectors.

    Args:
        interactions: Ordered interactions with ``fold``.
        items: Canonical items; of rows with one id the first counts.
        users: Canonical users; may be empty.
        config: The encoder; without ``pretrain`` it is returned as it is.
        seed: Of everything random.
        workdir: Folder of the checkpoint: a second call with equal data and settings continues
            where a killed one was. It is removed when the result is in the cache.

    Returns:
        ``config`` with the folder and hash of the trained weights and without ``pretrain``, and
        what was done: ``curves``, figures ``before`` and ``after``, whether it was ``reused``.

    Raises:
        ConfigError: There is no encoder, it reads fewer tokens, or it lacks a mask token.
        DataError: The data have no text to learn from, or the loss diverged.
        SetupError: The encoder cannot be loaded.
    """
    if config.pretrain is None:
        return config, {}
    started = time.monotonic()
    device = resolve_device(config.pretrain.device)
    # Histories have no prompt; item texts get it below.
    tower, tokenizer = loading.load_backbone(
        config.model_copy(update={"prompt": ""}), attention="sdpa"
    )
    decoder = loading.is_decoder(tower.backbone)
    _check(tower, tokenizer, config, config.pretrain, decoder)
    behaviour = gather(interactions, items, users, tokenizer, config, config.pretrain)
    divided = divide(behaviour, config.pretrain, seed=seed)
    counts = torch.from_numpy(behaviour.token_counts(_vocabulary(tower)))
    start_hash = loading.weights_hash(tower)
    weights = config.pretrain.weights
    learning = trainable.choose(tower, weights, seed=seed, where=f"{WHERE}.weights")
    source = loading.resolve(str(config.model), Path(config.cache))
    full = weights.method == "full"
    head = language_head.load(source, tower, counts, learn_table=full)
    key = _key(config, start_hash, head, behaviour, seed)
    folder = Path(config.cache) / FOLDER / key
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f".{key}.lock"):
        report = _kept(folder)
        if report is not None:
            os.utime(folder)
            logger.info("Pre-trained weights of equal data and settings are reused: %s", folder)
            return _started_from(config, folder, report), {**report, "reused": True}
        foreteller = Foreteller(
            learning, head, behaviour.items, divided.shares, config.pretrain, device
        )
        hiding = Hiding.of(tokenizer, config.pretrain, decoder=decoder)
        report = _train(
            foreteller,
            behaviour,
            divided,
            hiding,
            seed=seed,
            checkpoint=workdir / f"pretrain-{key}",
        )
        report |= {"head": type(head).__name__, "started_from": start_hash, "seed": seed}
        with replaced_folder(folder) as made:
            saved.save(learning.merge().cpu(), tokenizer, made)
            report["weights_sha256"] = assets.sha256(made / loading.WEIGHTS)
            report["seconds"] = round(time.monotonic() - started, 2)
            report["peak_rss_mb"] = round(peak_rss_mb(), 1)
            tables.write_json(made / REPORT, report)
        shutil.rmtree(workdir / f"pretrain-{key}", ignore_errors=True)
        _prune(folder.parent)
    _tell(report, folder)
    return _started_from(config, folder, report), {**report, "reused": False}


def _check(
    tower: TextTower,
    tokenizer: PreTrainedTokenizerBase,
    config: EncoderConfig,
    options: PretrainConfig,
    decoder: bool,
) -> None:
    faults = []
    positions = getattr(tower.backbone.config, "max_position_embeddings", None)
    if isinstance(positions, int) and 0 < positions < options.max_tokens:
        faults.append(
            f"{WHERE}.max_tokens = {options.max_tokens}, but {config.model!r} reads at most "
            f"{positions} tokens. Lower it."
        )
    if not decoder and tokenizer.mask_token_id is None:
        faults.append(
            f"The tokenizer of encoder {config.model!r} has no mask token, so nothing can be "
            "hidden from it. Set mask_token in its tokenizer_config.json to the token that the "
            f"model was trained with, use another encoder, or set {WHERE} to null."
        )
    if faults:
        raise ConfigError(faults)


def _vocabulary(tower: TextTower) -> int:
    backbone: Any = tower.backbone
    return int(backbone.get_input_embeddings().weight.shape[0])


def _train(
    foreteller: Foreteller,
    behaviour: Behaviour,
    divided: Divided,
    hiding: Hiding,
    *,
    seed: int,
    checkpoint: Path,
) -> dict[str, Any]:
    device = next(foreteller.tower.parameters()).device
    cuda = [device] if device.type == "cuda" else []
    figures = {}
    with torch.random.fork_rng(devices=cuda):
        figures["before"] = measure(
            foreteller, behaviour, divided, hiding, seed=seed, what="Measure the encoder before"
        )
        curves, resumed = pretraining.run(
            foreteller, behaviour, divided, hiding, seed=seed, checkpoint=checkpoint
        )
        figures["after"] = measure(
            foreteller, behaviour, divided, hiding, seed=seed, what="Measure the encoder after"
        )
    return {
        "task": "next token and item" if hiding.decoder else "masked token and item",
        "users": len(behaviour) - len(divided.withheld),
        "users_withheld": len(divided.withheld),
        "texts": len(behaviour.items),
        "steps": hiding.config.steps,
        "resumed_at": resumed,
        "curves": asdict(curves),
        **{name: found.report() for name, found in figures.items()},
    }


def _key(
    config: EncoderConfig,
    start_hash: str,
    head: language_head.Head,
    behaviour: Behaviour,
    seed: int,
) -> str:
    """Identify start, data and settings: equal ones give equal weights."""
    assert config.pretrain is not None
    parts = {
        "start": start_hash,
        "head": loading.weights_hash(head),
        "data": behaviour.digest(),
        "options": config.pretrain.model_dump(mode="json", exclude={"checkpoint_steps"}),
        "pooling": config.pooling,
        "seed": seed,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _kept(folder: Path) -> dict[str, Any] | None:
    """Return the report of a finished, undamaged run."""
    if not (folder / REPORT).is_file():
        return None
    try:
        report: dict[str, Any] = tables.read_json(folder / REPORT)
        if assets.sha256(folder / loading.WEIGHTS) == report["weights_sha256"]:
            return report
        reason = "the weights have another hash than the report says"
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error)
    logger.warning("Pre-trained weights %s are damaged (%s): trained anew", folder, reason)
    return None


def _prune(cache: Path) -> None:
    finished = [path for path in cache.iterdir() if (path / REPORT).is_file()]
    for old in sorted(finished, key=lambda path: path.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def _started_from(config: EncoderConfig, folder: Path, report: dict[str, Any]) -> EncoderConfig:
    return config.model_copy(
        update={
            "model": str(folder),
            "weights_sha256": report["weights_sha256"],
            "pretrain": None,
        }
    )


def _tell(report: dict[str, Any], folder: Path) -> None:
    before, after = report["before"], report["after"]
    told = [
        f"{name} {before[name]:.3f} -> {after[name]:.3f}"
        for name in ("token_accuracy", "item_hit1", "item_hit10")
        if before[name] is not None
    ]
    logger.info("Pre-trained encoder: %s; kept in %s", ", ".join(told) or "not measured", folder)
