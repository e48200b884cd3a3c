import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

from counterpoint import columns
from counterpoint.config.encoder import EncoderConfig
from counterpoint.encoder import TextEncoder
from counterpoint.encoder.pretrained import pretrain
from counterpoint.errors import ConfigError, DataError
from counterpoint.trainer import limited_threads
from tests.counterpoint.encoder import tastes

OPTIONS = {
    "weights": {"method": "full"},
    "steps": 12,
    "batch_size": 16,
    "learning_rate": 1e-3,
    "max_tokens": 64,
    "item_share": 0.2,
    "negatives": 8,
    "withheld": 0.4,
    "checkpoint_steps": 5,
}


def settings(model: Path, cache: Path, **options: object) -> EncoderConfig:
    return EncoderConfig(
        model=str(model), cache=str(cache), max_tokens=16, pretrain={**OPTIONS, **options}
    )


def start(config: EncoderConfig, cache: Path, world=None, seed: int = 0):
    with limited_threads(1):
        return pretrain(*(world or tastes.world()), config, seed=seed, workdir=cache / "work")


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> Path:
    return tastes.save(tmp_path_factory.mktemp("bert"))


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_hidden_words_and_items_are_told_after_training_and_not_before(kind, tmp_path) -> None:
    model = tastes.save(tmp_path / "model", kind)
    config = settings(model, tmp_path, steps=180, learning_rate=2e-3, masked_token=0.3)
    found, report = start(config, tmp_path, tastes.world(users=100))
    before, after, curves = report["before"], report["after"], report["curves"]
    assert before["candidates"] == 16 and before["items"] > 100
    # Ten of 16 items by chance; a taste has eight.
    assert before["item_hit10"] < 0.75 and before["token_accuracy"] < 0.3
    assert after["item_hit10"] > 0.9
    assert after["item_hit10"] > after["popular_hit10"] + 0.2
    assert after["token_accuracy"] > before["token_accuracy"] + 0.1
    assert after["token_loss"] < before["token_loss"]
    for values in (curves["total"], *curves["terms"].values()):
        assert len(values) == 180
        assert np.mean(values[-20:]) < 0.9 * np.mean(values[:20])
    # A plain folder that everything else can start from.
    encoder = TextEncoder(found)
    vectors = encoder.encode(tastes.titles())
    assert found.pretrain is None and encoder.dim == 32
    alike = vectors @ vectors.T
    taste = np.arange(16) // 8
    same = taste[:, None] == taste
    assert alike[same & ~np.eye(16, dtype=bool)].mean() > alike[~same].mean() + 0.1


def test_an_equal_run_reuses_the_weights_and_says_so(bert, tmp_path: Path, caplog) -> None:
    caplog.set_level("INFO")
    config = settings(bert, tmp_path)
    first, report = start(config, tmp_path)
    again, kept = start(config, tmp_path)
    assert not report["reused"] and kept["reused"] and "are reused" in caplog.text
    assert first == again and report["curves"] == kept["curves"]
    assert not list((tmp_path / "work").glob("*"))
    other = [
        start(config, tmp_path, seed=1),
        start(settings(bert, tmp_path, steps=13), tmp_path),
        start(config, tmp_path, tastes.world(seed=1)),
    ]
    assert not any(report["reused"] for _, report in other)
    assert len({found.model for found, _ in other} | {first.model}) == 4
    # The three newest stay in the cache.
    folders = [path for path in (tmp_path / "pretrained").iterdir() if path.is_dir()]
    assert {str(path) for path in folders} == {found.model for found, _ in other}
    same = settings(bert, tmp_path, steps=13, checkpoint_steps=3)
    assert start(same, tmp_path)[1]["reused"]


def test_damaged_weights_in_the_cache_are_trained_anew(bert, tmp_path: Path, caplog) -> None:
    config = settings(bert, tmp_path)
    first, report = start(config, tmp_path)
    weights = Path(str(first.model)) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    again, anew = start(config, tmp_path)
    assert not anew["reused"] and "are damaged" in caplog.text
    assert again == first and anew["weights_sha256"] == report["weights_sha256"]


def test_what_comes_after_the_train_fold_changes_nothing(bert, tmp_path: Path) -> None:
    interactions, items, users = tastes.world()
    later = pl.col(columns.FOLD) != "train"
    assert interactions.filter(later).height > 50
    other = interactions.with_columns(
        pl.when(later).then(pl.lit("i0")).otherwise(columns.ITEM).alias(columns.ITEM),
        pl.when(later).then(False).otherwise(columns.POSITIVE).alias(columns.POSITIVE),
    )
    config = settings(bert, tmp_path)
    first, _ = start(config, tmp_path)
    blind, report = start(config, tmp_path, (other, items, users))
    assert report["reused"] and first == blind
    seen = interactions.with_columns(pl.lit("i0").alias(columns.ITEM))
    with pytest.raises(DataError):
        start(config, tmp_path, (seen, items, users))


CHILD = """
import sys
from pathlib import Path
from tests.counterpoint.encoder import test_pretraining as own
cache = Path(sys.argv[2])
own.start(own.settings(Path(sys.argv[1]), cache, steps=60), cache)
"""


@pytest.mark.slow
def test_a_run_killed_with_kill_9_ends_in_the_same_weights(bert, tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(bert), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while not list((tmp_path / "work").glob("pretrain-*/checkpoint.safetensors")):
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    config = settings(bert, tmp_path, steps=60)
    resumed, report = start(config, tmp_path)
    assert 0 < report["resumed_at"] < 60 and not report["reused"]
    whole, told = start(settings(bert, tmp_path / "other", steps=60), tmp_path / "other")
    assert told["resumed_at"] == 0
    assert report["weights_sha256"] == told["weights_sha256"]
    assert report["curves"] == told["curves"] and report["after"] == told["after"]
    assert Path(str(whole.model)).name == Path(str(resumed.model)).name


@pytest.mark.parametrize("method", ["last", "lora"])
@pytest.mark.parametrize("kind", ["bert", "bert with head", "llama"])
def test_only_the_chosen_weights_learn(kind, method, tmp_path: Path) -> None:
    model = tastes.save(tmp_path / "model", kind)
    config = settings(model, tmp_path, weights={"method": method, "layers": 1})
    found, report = start(config, tmp_path)
    assert report["head"] == ("CheckpointHead" if kind == "bert with head" else "TiedHead")
    old = load_file(model / "model.safetensors")
    new = load_file(Path(str(found.model)) / "model.safetensors")
    prefix = "bert." if kind == "bert with head" else ""
    names = {name for name in new if "pooler" not in name}
    assert {prefix + name for name in names} <= set(old)
    moved = {name for name in names if not np.array_equal(new[name], old[prefix + name])}
    assert moved and all(".1." in name for name in moved)


@pytest.mark.parametrize("weights", [(0.0, 1.0), (1.0, 0.0)])
def test_each_loss_can_be_left_out(weights, bert, tmp_path: Path) -> None:
    token, item = weights
    config = settings(bert, tmp_path, masked_token=token, masked_item=item)
    _, report = start(config, tmp_path)
    terms = report["curves"]["terms"]
    assert [len(terms["masked_token"]), len(terms["masked_item"])] == [12 * token, 12 * item]
    assert (report["after"]["token_accuracy"] is None) == (not token)
    assert (report["after"]["item_hit1"] is None) == (not item)


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({"precision": "bfloat16"}, 0.05),
        ({"weights": {"method": "full", "gradient_checkpointing": True}}, 1e-4),
    ],
)
def test_ways_to_save_memory_change_little(options, tolerance, bert, tmp_path: Path) -> None:
    _, plain = start(settings(bert, tmp_path), tmp_path)
    _, saving = start(settings(bert, tmp_path, **options), tmp_path)
    assert not saving["reused"]
    curves = [report["curves"]["total"] for report in (plain, saving)]
    np.testing.assert_allclose(*curves, rtol=tolerance)


def test_without_the_section_nothing_is_done(tmp_path: Path) -> None:
    config = EncoderConfig(model="nothing here")
    assert start(config, tmp_path) == (config, {})


@pytest.mark.parametrize(
    ("texts", "match"),
    [
        ([""] * 16, r"none of the 60 users has an event.*pretrain to null"),
        (["mars space"] * 16, r"one and the same text.*masked_item to 0"),
    ],
)
def test_data_with_nothing_to_learn_are_refused(texts, match, bert, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=match):
        start(settings(bert, tmp_path), tmp_path, tastes.world(texts))


def test_equal_texts_can_still_teach_words(bert, tmp_path: Path) -> None:
    config = settings(bert, tmp_path, masked_item=0)
    _, report = start(config, tmp_path, tastes.world(["mars space"] * 16))
    assert report["texts"] == 1 and report["after"]["tokens"] > 0


def test_no_interactions_are_refused(bert, tmp_path: Path) -> None:
    interactions, items, users = tastes.world()
    with pytest.raises(DataError, match="none of the 0 users"):
        start(settings(bert, tmp_path), tmp_path, (interactions.clear(), items, users))


def test_one_user_is_learnt_from_and_nobody_is_measured(bert, tmp_path: Path) -> None:
    interactions, items, _ = tastes.world()
    alone = interactions.filter(pl.col(columns.USER) == "u0")
    no_users = pl.DataFrame(schema=columns.USERS)
    _, report = start(settings(bert, tmp_path), tmp_path, (alone, items, no_users))
    assert report["users"] == 1 and report["users_withheld"] == 0
    assert report["after"]["histories"] == 0 and report["after"]["token_accuracy"] is None


def test_odd_texts_do_no_harm(bert, tmp_path: Path) -> None:
    odd = [
        "<b>mars</b> &amp; [MASK]",
        "wheat " * 10_000,
        "👨\u200d👩\u200d👧",
        "世界 мир سلام",
        ".",
    ]
    _, report = start(settings(bert, tmp_path), tmp_path, tastes.world((odd * 4)[:16]))
    assert np.isfinite(report["curves"]["total"]).all()


def test_an_encoder_without_mask_token_is_refused_and_a_decoder_needs_none(tmp_path) -> None:
    bert = tastes.save(tmp_path / "bert", mask=False)
    with pytest.raises(ConfigError, match=r"no mask token.*tokenizer_config\.json"):
        start(settings(bert, tmp_path), tmp_path)
    llama = tastes.save(tmp_path / "llama", "llama", mask=False)
    assert start(settings(llama, tmp_path), tmp_path)[1]["task"] == "next token and item"


def test_longer_texts_than_the_encoder_reads_and_too_many_blocks_are_refused(bert, tmp_path):
    with pytest.raises(ConfigError, match=r"pretrain\.max_tokens = 128.*at most 96"):
        start(settings(bert, tmp_path, max_tokens=128), tmp_path)
    with pytest.raises(ConfigError, match=r"pretrain\.weights\.layers = 9"):
        start(settings(bert, tmp_path, weights={"layers": 9}), tmp_path)


def test_both_weights_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one must count"):
        EncoderConfig(pretrain={"masked_token": 0, "masked_item": 0})


def test_a_loss_that_is_not_finite_stops_training(bert, tmp_path: Path) -> None:
    config = settings(bert, tmp_path, learning_rate=1e30, warmup=0.0)
    with pytest.raises(DataError, match=r"not finite at step \d+ of 12.*learning_rate"):
        start(config, tmp_path)
