import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from counterpoint import assets, encoder_export, onnx_parity
from counterpoint.config.encoder import EncoderConfig
from counterpoint.encoder import TextEncoder, saved
from counterpoint.encoder.backbone import pool
from counterpoint.encoder.loading import is_decoder, load_backbone, weights_hash
from counterpoint.errors import SetupError
from tests.counterpoint.encoder import tiny

TEXTS = ["space war", "a farm story of the cow and the field", "love", "crime city police"]


def config(folder: Path, **changes) -> EncoderConfig:
    changes = {"precision": "float32"} | changes
    return EncoderConfig(model=str(folder), cache=str(folder / "cache"), **changes)


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_any_backbone_gives_the_same_vectors_alone_and_padded(tmp_path: Path, kind: str) -> None:
    settings = config(tiny.save(tmp_path, kind))
    tower, tokenizer = load_backbone(settings)
    assert is_decoder(tower.backbone) == (kind in ("llama", "qwen2"))
    assert tower.pooling == ("last_token" if is_decoder(tower.backbone) else "mean")
    encoder = TextEncoder(settings, loaded=(tower, tokenizer))
    together = encoder.encode(TEXTS, keep=False)
    for text, vector in zip(TEXTS, together, strict=True):
        tokens = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            hidden = tower.backbone(**tokens).last_hidden_state[0]
        own = hidden[-1] if tower.pooling == "last_token" else hidden.mean(0)
        np.testing.assert_allclose(vector, own / own.norm(), atol=1e-5)


def test_poolings_read_the_places_they_name() -> None:
    hidden = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 1]])
    expected = {
        "cls": hidden[:, 0],
        "last_token": torch.stack([hidden[0, 2], hidden[1, 3]]),
        "mean": torch.stack([hidden[0, :3].mean(0), (hidden[1, 0] + hidden[1, 3]) / 2]),
    }
    for pooling, vector in expected.items():
        unit = vector / vector.norm(dim=1, keepdim=True)
        torch.testing.assert_close(pool(hidden, mask, pooling), unit)


def test_a_prompt_stands_before_every_text(tmp_path: Path) -> None:
    folder = tiny.save(tmp_path)
    plain = TextEncoder(config(folder)).encode(["story : space war", "story : love"])
    prompted = TextEncoder(config(folder, prompt="story : ")).encode(["space war", "love"])
    np.testing.assert_allclose(prompted, plain, atol=1e-6)


def test_a_saved_tower_is_the_same_and_its_prompt_is_not_put_twice(tmp_path: Path) -> None:
    settings = config(tiny.save(tmp_path / "given"), prompt="story : ")
    tower, tokenizer = load_backbone(settings)
    saved.save(tower, tokenizer, tmp_path / "kept")
    again = settings.model_copy(update={"model": str(tmp_path / "kept")})
    assert weights_hash(load_backbone(again)[0]) == weights_hash(tower)
    first = TextEncoder(settings, loaded=(tower, tokenizer)).encode(TEXTS, keep=False)
    np.testing.assert_array_equal(TextEncoder(again).encode(TEXTS, keep=False), first)


def test_odd_texts_are_read(tmp_path: Path) -> None:
    encoder = TextEncoder(config(tiny.save(tmp_path)))
    texts = [
        "war " * 12_500,
        "🚀🚀",
        "<b>space</b>&nbsp;<script>",
        "история 物語 قصة",
        "\x00\u200b",
        "",
    ]
    vectors = encoder.encode(texts)
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(np.linalg.norm(vectors[:-1], axis=1), 1, atol=1e-5)
    assert not vectors[-1].any()
    np.testing.assert_array_equal(vectors[0], encoder.encode(["war " * 600])[0])


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = tiny.save(tmp_path)
    (folder / name).unlink()
    if name == "tokenizer.json":
        (folder / "vocab.txt").unlink()
    with pytest.raises(
        SetupError, match=r"cannot be loaded.*tokenizer\.json.*train\.encoder\.model"
    ):
        load_backbone(config(folder))


def test_pickled_weights_are_not_read(tmp_path: Path) -> None:
    folder = tiny.save(tmp_path)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(SetupError, match="safetensors"):
        load_backbone(config(folder))


def test_code_of_a_model_is_not_run(tmp_path: Path) -> None:
    folder = tiny.save(tmp_path)
    ran = tmp_path / "ran"
    described = json.loads((folder / "config.json").read_text())
    described |= {
        "model_type": "own",
        "auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.Own"},
    }
    (folder / "config.json").write_text(json.dumps(described))
    (folder / "own.py").write_text(f"open({str(ran)!r}, 'w')\nclass Own: pass\n")
    with pytest.raises(SetupError, match="cannot be loaded"):
        load_backbone(config(folder))
    assert not ran.exists()


def test_incomplete_weights_are_refused(tmp_path: Path) -> None:
    folder = tiny.save(tmp_path)
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SetupError, match=r"incomplete: 1 tensors.*layer\.1\.output\.dense\.weight"):
        load_backbone(config(folder))


def test_a_missing_pooler_changes_nothing(tmp_path: Path) -> None:
    folder = tiny.save(tmp_path)
    first = TextEncoder(config(folder)).encode(TEXTS)
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith("pooler")}
    assert len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    one, two = TextEncoder(config(folder)), TextEncoder(config(folder))
    assert one.weights_sha256 == two.weights_sha256
    np.testing.assert_array_equal(one.encode(TEXTS), first)


def test_other_weights_than_the_configured_are_refused(tmp_path: Path) -> None:
    folder = tiny.save(tmp_path)
    right = assets.sha256(folder / "model.safetensors")
    load_backbone(config(folder, weights_sha256=right))
    with pytest.raises(SetupError, match=f"{right}.*weights_sha256 says 0000"):
        load_backbone(config(folder, weights_sha256="0" * 64))


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = tiny.save(tmp_path / "own")
    tiny.backbone("bert", vocabulary=12).save_pretrained(tmp_path / "other")
    shutil.copy(tmp_path / "other/model.safetensors", folder)
    shutil.copy(tmp_path / "other/config.json", folder)
    with pytest.raises(SetupError, match=r"does not match its weights: it gives ids up to \d+.*12"):
        load_backbone(config(folder))


def test_more_tokens_than_the_backbone_reads_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"max_tokens = 500.*at most 128"):
        load_backbone(config(tiny.save(tmp_path), max_tokens=500))


def test_bfloat16_vectors_are_near_and_cached_apart(tmp_path: Path) -> None:
    folder = tiny.save(tmp_path)
    exact = TextEncoder(config(folder)).encode(TEXTS)
    fast = TextEncoder(config(folder, precision="bfloat16")).encode(TEXTS)
    assert fast.dtype == np.float32
    assert 0 < np.abs(exact - fast).max() < 0.03
    np.testing.assert_array_equal(TextEncoder(config(folder)).encode(TEXTS), exact)


@pytest.mark.parametrize(("able", "taken"), [(True, "bfloat16"), (False, "float32")])
def test_the_precision_is_what_the_processor_does_fast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, able: bool, taken: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": able})
    folder = tiny.save(tmp_path)
    chosen = TextEncoder(config(folder, precision="auto", device="cpu"))
    assert chosen.precision == taken
    named = TextEncoder(config(folder, precision=taken, device="cpu"))
    # Asked for by name, the same vectors are found in the cache.
    vectors = chosen.encode(TEXTS)
    monkeypatch.setattr(type(named.module), "forward", None)
    np.testing.assert_array_equal(named.encode(TEXTS), vectors)


@pytest.mark.skipif(torch.cuda.is_available(), reason="There is a GPU.")
def test_a_gpu_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"device is 'cuda'.*no CUDA GPU.*auto"):
        TextEncoder(config(tiny.save(tmp_path), device="cuda"))


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_the_graph_of_any_backbone_answers_as_torch_does(tmp_path: Path, kind: str) -> None:
    encoder = TextEncoder(config(tiny.save(tmp_path, kind)))
    before = encoder.module.backbone.config._attn_implementation
    encoder_export.write_graph(encoder.module, tmp_path / "graph.onnx", opset=17)
    assert encoder.module.backbone.config._attn_implementation == before
    session = onnx_parity.session(tmp_path / "graph.onnx")
    for texts in (TEXTS[:1], TEXTS):
        tokens = encoder.tokenizer(texts, padding=True, return_tensors="np")
        feed = {name: tokens[name] for name in ("input_ids", "attention_mask")}
        (vectors,) = session.run(["vector"], feed)
        np.testing.assert_allclose(vectors, encoder.encode(texts, keep=False), atol=1e-4)
