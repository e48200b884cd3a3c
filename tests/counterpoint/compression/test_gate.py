import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from tokenizers import Tokenizer

from counterpoint import encoder_export
from counterpoint.bootstrap import Interval
from counterpoint.compression import compare, gate, table
from counterpoint.compression.build import Builder
from counterpoint.compression.form import Form
from counterpoint.compression.gate import Measured
from counterpoint.compression.variants import Variant
from counterpoint.config import ExportConfig
from counterpoint.config.compression import CompressionConfig
from counterpoint.encoder import TextEncoder
from counterpoint.stages import export
from serving.engine import text_encoder
from tests.counterpoint.compression import encoders


def config(*variants: str, **over: object) -> ExportConfig:
    compression = {"variants": variants, "min_users": 20, "folds": 2, "resamples": 300, **over}
    return ExportConfig.model_validate(
        {"max_k": 12, "parity_users": 10, "compression": compression}
    )


def measured(overlap: float, mean: float, low: float, high: float, users: int = 500) -> Measured:
    return Measured(
        1.0, {1: 1.0}, 0.999, 0.99, overlap, 0.2 + mean, 0.2, Interval(mean, low, high, users)
    )


@pytest.mark.parametrize(
    ("found", "passed", "status"),
    [
        (measured(0.95, 0.0, -0.003, 0.003), [True, True], ["passed", "passed"]),
        (measured(0.9, -0.002, -0.004, 0.0), [True, True], ["passed", "passed"]),
        (measured(0.89, 0.0, -0.003, 0.003), [False, True], ["failed", "passed"]),
        (measured(0.95, 0.0, -0.0041, 0.0041), [True, False], ["passed", "failed"]),
        (measured(0.95, -0.01, -0.012, -0.008), [True, False], ["passed", "failed"]),
        (measured(0.95, 0.0, 0.0, 0.0, users=49), [True, False], ["passed", "not judged"]),
        (measured(np.nan, 0.0, 0.0, 0.0), [False, True], ["not judged", "passed"]),
    ],
)
def test_both_conditions_must_hold(found: Measured, passed: list[bool], status: list[str]) -> None:
    reasons = gate.judge(found, CompressionConfig())
    assert [reason.passed for reason in reasons] == passed
    assert [reason.status for reason in reasons] == status


def test_an_identical_encoder_is_served_and_named(trained: dict[str, Path], tmp_path: Path) -> None:
    plain, smaller = tmp_path / "plain", tmp_path / "smaller"
    before = export.run(config(), onnx=plain, **trained)
    assert before.compression is None and not (plain / "compression.json").exists()
    result = export.run(config(f"layers:{encoders.LAYERS}", "int8"), onnx=smaller, **trained)
    report = json.loads((smaller / "compression.json").read_text("utf-8"))
    assert report == result.compression
    assert report["served"] == f"layers:{encoders.LAYERS}" and report["untried"] == ["int8"]
    whole, same = report["forms"]
    assert same["accepted"] and same["overlap"] == 1.0
    assert {same["difference"][name] for name in ("mean", "low", "high")} == {0.0}
    assert same["ndcg"] == whole["ndcg"] and 0 < whole["ndcg"] <= 1
    contracts = [json.loads((f / "contract.json").read_text("utf-8")) for f in (plain, smaller)]
    assert [c["item_encoder"] for c in contracts] == ["fp32", f"layers:{encoders.LAYERS}"]


def test_a_served_smaller_form_keys_its_vectors_apart(
    trained: dict[str, Path], tmp_path: Path
) -> None:
    plain, smaller = tmp_path / "plain", tmp_path / "smaller"
    export.run(config(), onnx=plain, **trained)
    loose = config("vocabulary+int8_blocks", min_overlap=0.0, max_ndcg_loss=10.0)
    result = export.run(loose, onnx=smaller, **trained)
    assert result.compression is not None
    assert result.compression["served"] == "vocabulary+int8_blocks"
    found = [text_encoder.find(folder) for folder in (plain, smaller)]
    assert found[0] is not None and found[1] is not None
    assert found[0].sha256 != found[1].sha256
    texts = ["abba cab hedge", "a text of gaffed badge"]
    whole, other = (encoder.encode(texts) for encoder in found if encoder)
    assert whole.shape == other.shape and ((whole * other).sum(1) > 0.9).all()
    files = {path.name for path in (smaller / "item_encoder").iterdir()}
    assert files == {"model.onnx", "tokenizer.json"}
    ort.InferenceSession(str(smaller / "item_encoder" / "model.onnx"))
    small = Tokenizer.from_file(str(smaller / "item_encoder" / "tokenizer.json"))
    assert small.truncation["max_length"] == 24 and small.padding is not None


class Destroyed(Builder):
    """Builds an encoder of random weights, whatever it is asked for."""

    folder: Path

    def build(self, variant: Variant, texts: Sequence[str]) -> Form:
        return Form(Path(shutil.copytree(self.folder, self._folder() / "copy")))


def test_a_destroyed_encoder_is_refused_and_the_original_is_served(
    trained: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, folder = tmp_path / "plain", tmp_path / "onnx"
    export.run(config(), onnx=plain, **trained)
    Destroyed.folder = tmp_path / "random"
    shutil.copytree(plain / "item_encoder", Destroyed.folder)
    settings = compare.Recommender.load(trained["model"]).settings.encoder
    assert settings is not None
    other = settings.model_copy(update={"model": str(encoders.save(tmp_path / "hub", seed=7))})
    tower = TextEncoder(other).module
    encoder_export.write_graph(tower, Destroyed.folder / "model.onnx", opset=17)
    monkeypatch.setattr(compare, "Builder", Destroyed)
    result = export.run(config("int8"), onnx=folder, **trained)
    assert result.compression is not None and result.compression["served"] == "fp32"
    refused = result.compression["forms"][1]
    assert not refused["accepted"] and refused["overlap"] < 0.9
    shown = table.markdown(result.compression)
    assert "| refused |" in shown and "- int8: " in shown and "min_overlap" in shown
    for name in ("model.onnx", "tokenizer.json"):
        expected = (plain / "item_encoder" / name).read_bytes()
        assert (folder / "item_encoder" / name).read_bytes() == expected
    contract = json.loads((folder / "contract.json").read_text("utf-8"))
    assert contract["item_encoder"] == "fp32"


def test_what_cannot_be_built_is_refused_with_the_reason(
    trained: dict[str, Path], tmp_path: Path
) -> None:
    result = export.run(config("layers:9"), onnx=tmp_path / "onnx", **trained)
    assert result.compression is not None and result.compression["served"] == "fp32"
    (reason,) = result.compression["forms"][1]["reasons"]
    assert reason["status"] == "not judged"
    assert "layer 9 of an encoder that has 3" in reason["detail"]
    assert "| layers:9 | – |" in table.markdown(result.compression)
