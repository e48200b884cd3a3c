from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from counterpoint import columns, tables
from counterpoint.config.train import EncoderConfig
from counterpoint.encoder import TextEncoder
from counterpoint.encoder.backbone import TextTower
from counterpoint.errors import SetupError
from counterpoint.text_vectors import text_vectors

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "space", "farm", "story", "war", "a"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        settings = BertConfig(
            vocab_size=len(WORDS),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
        )
        BertModel(settings).save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def encoder(weights: Path, cache: Path, **options: int) -> TextEncoder:
    options = {"precision": "float32"} | options
    return TextEncoder(EncoderConfig(model=str(weights), cache=str(cache), **options))


TEXTS = ["space war", "a farm story a farm", "", "space war", "story"]


def test_vectors_are_unit_means_of_the_last_hidden_states(weights, tmp_path: Path) -> None:
    own = encoder(weights, tmp_path)
    vectors = own.encode(TEXTS)
    tokens = own.tokenizer("a farm story a farm", return_tensors="pt")
    with torch.inference_mode():
        hidden = own.module.backbone(**tokens).last_hidden_state[0]
    mean = hidden.mean(0)
    np.testing.assert_allclose(vectors[1], mean / mean.norm(), atol=1e-5)
    assert vectors[2].tolist() == [0.0] * 16
    np.testing.assert_array_equal(vectors[0], vectors[3])


def test_padding_and_batching_change_nothing(weights, tmp_path: Path) -> None:
    many = encoder(weights, tmp_path / "a", batch_size=4).encode(TEXTS)
    one = encoder(weights, tmp_path / "b", batch_size=1).encode(TEXTS)
    np.testing.assert_allclose(many, one, atol=1e-5)


def test_cached_texts_are_not_encoded_again(weights, tmp_path: Path, monkeypatch) -> None:
    first = encoder(weights, tmp_path).encode(TEXTS)
    calls = []
    forward = TextTower.forward

    def counted(self: TextTower, input_ids: torch.Tensor, attention_mask: torch.Tensor):
        calls.append(len(input_ids))
        return forward(self, input_ids, attention_mask)

    monkeypatch.setattr(TextTower, "forward", counted)
    again = encoder(weights, tmp_path).encode([*TEXTS, "war story"])
    assert calls == [1]
    np.testing.assert_array_equal(again[:-1], first)
    encoder(weights, tmp_path, max_tokens=4).encode(["space war"])
    assert calls == [1, 1]


def test_a_damaged_cache_is_made_anew(weights, tmp_path: Path) -> None:
    first = encoder(weights, tmp_path).encode(TEXTS)
    for path in (tmp_path / "vectors").iterdir():
        path.write_bytes(path.read_bytes()[:-20])
    np.testing.assert_allclose(encoder(weights, tmp_path).encode(TEXTS), first, atol=1e-6)


def test_other_weights_have_another_hash(weights, tmp_path: Path) -> None:
    own = encoder(weights, tmp_path)
    assert own.weights_sha256 == encoder(weights, tmp_path).weights_sha256
    from counterpoint.encoder.loading import weights_hash

    with torch.no_grad():
        next(own.module.parameters())[0, 0] += 1
    assert weights_hash(own.module) != own.weights_sha256


def test_missing_weights_name_what_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SetupError, match=r"all-MiniLM-L6-v2.*train\.encoder\.model"):
        encoder(tmp_path / "empty", tmp_path)


def test_text_vectors_follow_the_catalogue_and_leave_gaps_zero(weights, tmp_path: Path) -> None:
    config = EncoderConfig(model=str(weights), cache=str(tmp_path))
    items = pl.DataFrame(
        {columns.ITEM: ["b", "a", "a"], columns.TITLE: ["space war", "a farm", "story"]}
    )
    items = tables.conform(items, columns.ITEMS, table="items")
    vectors = text_vectors(items, ["a", "unknown", "b"], config)
    np.testing.assert_array_equal(vectors, TextEncoder(config).encode(["a farm", "", "space war"]))
    assert text_vectors(items, ["unknown"], config).shape == (1, 0)
    assert text_vectors(items, ["a"], None).shape == (1, 0)
