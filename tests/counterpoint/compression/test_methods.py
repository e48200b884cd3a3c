import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

from counterpoint.compression import layers, vocabulary
from counterpoint.compression.build import Builder
from counterpoint.compression.form import Form
from counterpoint.compression.unsupported import Unsupported
from counterpoint.compression.variants import parse
from counterpoint.encoder import TextEncoder
from tests.counterpoint.compression import encoders

CATALOGUE = ["abba cafe", "Faced beef", "cab dab", "hhh"]
words = st.text(alphabet=encoders.LETTERS, min_size=1, max_size=6)
texts = st.lists(words, min_size=1, max_size=5).map(" ".join)
Encoder = tuple[TextEncoder, Form, Builder]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return encoders.exported(tmp_path_factory.mktemp("encoder"))


def tensors(form: Form) -> list[tuple[str, str, list[object]]]:
    nodes = [*form.session.get_inputs(), *form.session.get_outputs()]
    return [(node.name, node.type, node.shape) for node in nodes]


@settings(max_examples=25, deadline=None)
@given(catalogue=st.lists(texts, min_size=1, max_size=6), new=st.lists(texts, min_size=1))
def test_vocabulary_pruning_changes_no_text_of_the_catalogue(
    encoder: Encoder, catalogue: list[str], new: list[str]
) -> None:
    _, whole, builder = encoder
    pruned = builder.build(parse("vocabulary"), catalogue)
    np.testing.assert_array_equal(pruned.encode(catalogue), whole.encode(catalogue))
    for text in new:
        tokens = pruned.tokenizer.encode(text).tokens
        assert "[UNK]" not in tokens
        pieces = "".join(token.removeprefix("##") for token in tokens[1:-1])
        assert pieces == text.replace(" ", "")
        # Of texts whose tokens all stay, nothing changes either.
        if tokens == whole.tokenizer.encode(text).tokens:
            np.testing.assert_array_equal(pruned.encode([text]), whole.encode([text]))


def test_a_pruned_vocabulary_is_smaller_and_numbered_without_gaps(encoder: Encoder) -> None:
    _, whole, builder = encoder
    pruned = builder.build(parse("vocabulary"), CATALOGUE)
    found = json.loads((pruned.folder / "tokenizer.json").read_text("utf-8"))
    ids = found["model"]["vocab"]
    assert sorted(ids.values()) == list(range(len(ids)))
    assert "bag" not in ids and "dead" not in ids and "[unused0]" not in ids
    assert {"abba", "cafe", "[UNK]", "[CLS]", "[SEP]", "[PAD]", "a", "##a"} <= ids.keys()
    graph = onnx.load(pruned.graph).graph
    shapes = [numpy_helper.to_array(t).shape for t in graph.initializer]
    assert (len(ids), 64) in shapes
    assert (len(encoders.VOCABULARY), 64) not in shapes
    assert pruned.megabytes < whole.megabytes
    assert pruned.tokenizer.encode("bag").tokens[1:-1] == ["b", "##a", "##g"]


def test_the_commonest_tokens_can_stay(encoder: Encoder) -> None:
    _, _, builder = encoder
    for size in (1, 30, 31, len(encoders.VOCABULARY)):
        pruned = builder.build(parse(f"vocabulary:{size}"), ["cab"])
        assert pruned.tokenizer.get_vocab_size() == max(size, 21)
    assert pruned.tokenizer.get_vocab() == encoders.word_piece().get_vocab()
    partly = builder.build(parse("vocabulary:23"), ["cab"]).tokenizer.get_vocab()
    assert "[unused0]" in partly and "abba" in partly and "dead" not in partly


def test_unigram_keeps_its_splits_and_other_kinds_are_refused(
    encoder: Encoder, tmp_path: Path
) -> None:
    _, whole, _ = encoder
    pieces = [("[PAD]", 0.0), ("<unk>", -20.0), ("▁", -2.0), ("▁cab", -3.0), ("bag", -4.0)]
    pieces += [(letter, -5.0 - n) for n, letter in enumerate("abcdefgh")]
    unigram = Tokenizer(models.Unigram(pieces, unk_id=1))
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    source = tmp_path / "source"
    source.mkdir()
    (source / "model.onnx").write_bytes(whole.graph.read_bytes())
    unigram.enable_padding(pad_id=0, pad_token="[PAD]")
    unigram.save(str(source / "tokenizer.json"))
    target = tmp_path / "target"
    target.mkdir()
    pruned = vocabulary.prune(Form(source), ["cab a", "hd"], target)
    kept = json.loads((target / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    assert [piece for piece, _ in kept] == [piece for piece, _ in pieces if piece != "bag"]
    before = Form(source).encode(["cab a", "hd", "gad"])
    np.testing.assert_array_equal(pruned.encode(["cab a", "hd", "gad"]), before)
    assert pruned.tokenizer.encode("bag").tokens == ["▁", "b", "a", "g"]
    Tokenizer(models.BPE({"a": 0}, [])).save(str(source / "tokenizer.json"))
    with pytest.raises(Unsupported, match="BPE tokenizer"):
        vocabulary.prune(Form(source), ["a"], target)


@pytest.mark.parametrize("name", ["fp16", "int8", "int8_blocks"])
def test_lower_precision_keeps_the_tensors_and_nearly_the_vectors(
    encoder: Encoder, name: str
) -> None:
    _, whole, builder = encoder
    smaller = builder.build(parse(name), CATALOGUE)
    assert tensors(smaller) == tensors(whole)
    for batch in (["cab"], [*CATALOGUE, "dead beef faced abba cafe cab bag"]):
        found, expected = smaller.encode(batch), whole.encode(batch)
        assert found.dtype == np.float32
        cosine = (found * expected).sum(1)
        assert (cosine > (0.97 if name == "int8" else 0.995)).all(), cosine
        assert not np.array_equal(found, expected)
    weights = [t.data_type for t in onnx.load(smaller.graph).graph.initializer]
    lower = {"fp16": {onnx.TensorProto.FLOAT16}}.get(
        name, {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}
    )
    assert lower & set(weights)


def test_methods_combine(encoder: Encoder) -> None:
    _, whole, builder = encoder
    both = builder.build(parse("layers:2+vocabulary+int8_blocks"), CATALOGUE)
    assert tensors(both) == tensors(whole)
    assert both.tokenizer.get_vocab_size() < whole.tokenizer.get_vocab_size()
    assert both.megabytes < builder.build(parse("layers:2+vocabulary"), CATALOGUE).megabytes


def test_keeping_all_layers_changes_nothing(encoder: Encoder) -> None:
    _, whole, builder = encoder
    every = builder.build(parse(f"layers:{encoders.LAYERS}"), CATALOGUE)
    np.testing.assert_array_equal(every.encode(CATALOGUE), whole.encode(CATALOGUE))


def test_the_chosen_layers_stay_and_the_encoder_is_not_touched(encoder: Encoder) -> None:
    whole = encoder[0].module
    smaller = layers.prune(whole, (1, 3))
    kept = smaller.backbone.encoder.layer
    assert len(kept) == 2 and len(whole.backbone.encoder.layer) == encoders.LAYERS
    for mine, theirs in zip(kept, (0, 2), strict=True):
        for a, b in zip(
            mine.parameters(), whole.backbone.encoder.layer[theirs].parameters(), strict=True
        ):
            assert a is not b and a.equal(b)
    with pytest.raises(Unsupported, match="layer 4 of an encoder that has 3"):
        layers.prune(whole, (1, 4))
