"""A recommender whose text encoder is pre-trained on histories as text first."""

from pathlib import Path

import numpy as np
import pytest

from counterpoint import columns, training
from counterpoint.encoder import TextEncoder
from counterpoint.encoder.loading import load_backbone, weights_hash
from counterpoint.recommender import Recommender
from counterpoint.stages import train
from tests.counterpoint import toys
from tests.counterpoint.encoder import tastes

PRETRAIN = {
    "weights": {"method": "full"},
    "steps": 10,
    "max_tokens": 64,
    "negatives": 4,
    "withheld": 0.2,
}


def fit(folder: Path, **encoder: object) -> Recommender:
    model = folder / "bert"
    if not model.is_dir():
        tastes.save(model)
    settings = {"model": str(model), "cache": str(folder), "max_tokens": 16, **encoder}
    tables = toys.world()
    folded, drawn = toys.prepared(tables)
    config = toys.small_config(encoder=settings, choices={"budget_seconds": 0.0})
    return training.fit(folded, tables.items, tables.users, drawn, config, workdir=folder / "work")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("pretrained")


def test_the_recommender_reads_text_with_the_pretrained_weights(folder: Path, caplog) -> None:
    caplog.set_level("INFO")
    found = fit(folder, pretrain=PRETRAIN)
    told = found.report["encoder"]["pretraining"]
    assert told["steps"] == 10 and not told["reused"] and "curves" not in told
    assert len(found.report["curves"]["encoder-pretraining"]["total"]) == 10
    result = train.summarise(found.report)
    assert "Text encoder: pre-trained on histories (hidden tokens told 0." in result.notes
    assert result.figures["pretrained_item_hit@10"] == told["after"]["item_hit10"]
    # The users' attributes are part of their histories.
    assert told["users"] == 24 and told["users_withheld"] == 6
    model = Path(found.settings.encoder.model)
    assert found.settings.encoder_trained and found.settings.encoder.pretrain is None
    tower, _ = load_backbone(found.settings.encoder)
    assert weights_hash(tower) == found.settings.encoder_sha256 != told["started_from"]

    caplog.clear()
    assert fit(folder, pretrain=PRETRAIN).report["encoder"]["pretraining"]["reused"]
    assert "are reused" in caplog.text

    found.save(folder / "model")
    for path in model.iterdir():
        path.unlink()
    read = Recommender.load(folder / "model")
    vector = TextEncoder(read.settings.encoder).encode(["a space story"])
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_items_that_contrastive_training_is_judged_on_are_not_read(folder: Path) -> None:
    tune = {"max_steps": 1, "withheld": 0.4, "batch_size": 8, "weights": {"layers": 1}}
    alone = fit(folder, pretrain=PRETRAIN).report["encoder"]["pretraining"]
    both = fit(folder, pretrain=PRETRAIN, tune=tune)
    told = both.report["encoder"]["pretraining"]
    met = toys.world().interactions[columns.ITEM].n_unique()
    assert alone["texts"] == met
    assert told["texts"] == met - round(0.4 * met)
    assert both.settings.encoder_trained
    assert "pre-trained on histories" in both.report["encoder"]["why"]
    assert "; training " in both.report["encoder"]["why"]
