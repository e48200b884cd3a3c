"""The text encoder of a training run: as it is, or trained on the interactions first.

First masked training on histories as text (``train.encoder.pretrain``), then contrastive training
on pairs of items (``train.encoder.tune``); each may be left out.

A trained encoder is kept in ``train.encoder.cache`` under a key of everything it depends on, so an
equal run (a resumed one, another seed of the towers) does not train it again.
"""

import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from counterpoint import columns, splits, tables
from counterpoint.config.train import EncoderConfig, TrainConfig
from counterpoint.encoder import TextEncoder, launch
from counterpoint.encoder.item_texts import ItemTexts
from counterpoint.encoder.job import REPORT, Job, withheld_of
from counterpoint.encoder.loading import load_backbone, weights_hash

logger = logging.getLogger(__name__)

KEPT: Final = 3
"""Trained encoders that stay in the cache, the newest."""


@dataclass(frozen=True)
class Obtained:
    """The encoder of a training run.

    Attributes:
        encoder: Encodes.
        trained: Its weights are not those that the configuration names.
        report: What training did, for model.json; empty where there was none.
    """

    encoder: TextEncoder
    trained: bool
    report: dict[str, Any]


def obtain(
    rows: pl.DataFrame,
    texts: Sequence[str],
    interactions: pl.DataFrame,
    config: TrainConfig,
    *,
    workdir: Path,
    users: pl.DataFrame | None = None,
) -> Obtained:
    """Load the encoder; pre-train it if the configuration says so; train it if that pays.

    Only events of the train fold are learned from: the settings of everything else are chosen on
    the validation fold, for which the encoder must not have seen it.

    Args:
        rows: (N,) canonical items in index order.
        texts: N texts.
        interactions: Ordered interactions with ``fold``.
        config: Encoder, cold settings and seed.
        workdir: Folder of the checkpoints.
        users: Canonical users, whose attributes are part of their histories as text.
    """
    begun, told = _pretrained(rows, texts, interactions, users, config, workdir)
    config = config.model_copy(update={"encoder": begun})
    plain = config.encoder.model_copy(update={"tune": None})
    if config.encoder.tune is None:
        return Obtained(TextEncoder(plain), bool(told), told)
    known = ItemTexts.of(texts)
    count = len(known.distinct)
    if count < 2:
        logger.warning(
            "The text encoder is not trained: the items have %d different text%s, and training "
            "needs at least 2",
            *(count, "" if count == 1 else "s"),
        )
        report = {**told, "why": _both(told, "fewer than 2 different texts")}
        return Obtained(TextEncoder(plain), bool(told), report)
    job = Job(rows, known, splits.fit_events(interactions, "choose"), config)
    key = job.key(weights_hash(load_backbone(plain)[0]))
    folder = Path(config.encoder.cache) / "trained" / key
    if (folder / REPORT).is_file():
        logger.info("The text encoder was trained on the same before: %s is used", folder)
        os.utime(folder)
    else:
        launch.run(job, folder, workdir / key)
        shutil.rmtree(workdir / key, ignore_errors=True)
        _forget(folder.parent)
    tuning = tables.read_json(folder / REPORT)
    report = {**told, **tuning, "why": _both(told, tuning["why"])}
    logger.info("Text encoder: %s", report["why"])
    if not report["pays"]:
        return Obtained(TextEncoder(plain), bool(told), report)
    trained = plain.model_copy(update={"model": str(folder), "weights_sha256": None})
    return Obtained(TextEncoder(trained), True, report)


def _pretrained(
    rows: pl.DataFrame,
    texts: Sequence[str],
    interactions: pl.DataFrame,
    users: pl.DataFrame | None,
    config: TrainConfig,
    workdir: Path,
) -> tuple[EncoderConfig, dict[str, Any]]:
    """Return where training starts from, and what was done to get there, if anything was."""
    if config.encoder.pretrain is None:
        return config.encoder, {}
    # Heavy, and rarely asked for.
    from counterpoint.encoder.pretrained import pretrain

    if config.encoder.tune is not None:
        # Whether contrastive training pays is seen on items that no stage knows.
        learned = splits.fit_events(interactions, "choose")
        withheld = withheld_of(rows, ItemTexts.of(texts), learned, config)
        unknown = rows[columns.ITEM].filter(pl.Series(withheld))
        interactions = interactions.filter(~pl.col(columns.ITEM).is_in(unknown.to_list()))
    begun, report = pretrain(
        interactions,
        rows,
        pl.DataFrame(schema=columns.USERS) if users is None else users,
        config.encoder,
        seed=config.seed,
        workdir=workdir,
    )
    before, after = report["before"], report["after"]
    told = [
        f"{what} {before[name]:.3f} before, {after[name]:.3f} after"
        for what, name in (
            ("hidden tokens told", "token_accuracy"),
            ("hidden items in the first ten", "item_hit10"),
        )
        if before[name] is not None
    ]
    return begun, {
        "why": f"pre-trained on histories ({', '.join(told) or 'not measured'})",
        "pretraining": report,
    }


def _both(told: dict[str, Any], why: str) -> str:
    return f"{told['why']}; {why}" if told else why


def _forget(folder: Path) -> None:
    """Remove all but the newest trained encoders."""
    kept = sorted(
        (path for path in folder.iterdir() if not path.name.startswith(".")),
        key=lambda path: path.stat().st_mtime,
    )
    for old in kept[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
