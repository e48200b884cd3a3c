import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from counterpoint import onnx_files
from counterpoint.compression.build import Builder
from counterpoint.compression.form import Form
from counterpoint.compression.trial import keep
from counterpoint.compression.variants import parse
from counterpoint.encoder import TextEncoder
from tests.counterpoint.compression import encoders

TEXTS = ["abba cafe", "Faced beef", "cab dab", "hhh"]
Encoder = tuple[TextEncoder, Form, Builder]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return encoders.exported(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file holds next to nothing."""
    monkeypatch.setattr(onnx_files, "MOST_BYTES", 10_000)
    monkeypatch.setattr(onnx_files, "SMALLEST", 64)


@pytest.fixture
def halves(encoder: Encoder, small: None, tmp_path: Path) -> Form:
    """The encoder in two files."""
    _, whole, _ = encoder
    shutil.copytree(whole.folder, tmp_path / "split")
    split = Form(tmp_path / "split")
    onnx_files.save(onnx.load(split.graph), split.graph)
    assert onnx_files.is_split(split.graph) and not onnx_files.is_split(whole.graph)
    return split


def test_two_files_answer_as_one(encoder: Encoder, halves: Form) -> None:
    _, whole, _ = encoder
    np.testing.assert_array_equal(halves.encode(TEXTS), whole.encode(TEXTS))
    assert halves.graph.stat().st_size < whole.graph.stat().st_size / 2
    assert halves.megabytes == pytest.approx(whole.megabytes, rel=0.2)


def test_writing_again_replaces_both(encoder: Encoder, halves: Form) -> None:
    _, whole, _ = encoder
    before = onnx_files.beside(halves.graph).stat().st_size
    onnx_files.save(onnx.load(halves.graph), halves.graph)
    assert onnx_files.beside(halves.graph).stat().st_size == before
    np.testing.assert_array_equal(Form(halves.folder).encode(TEXTS), whole.encode(TEXTS))


@pytest.mark.parametrize("variant", ["vocabulary", "fp16", "int8", "int8_blocks"])
def test_what_needs_two_files_is_compressed_alike(
    encoder: Encoder, halves: Form, tmp_path: Path, variant: str
) -> None:
    text_encoder, _, builder = encoder
    (tmp_path / "scratch").mkdir()
    other = Builder(text_encoder.module, halves, lambda *_: None, tmp_path / "scratch")
    found = other.build(parse(variant), TEXTS)
    wanted = builder.build(parse(variant), TEXTS)
    np.testing.assert_allclose(found.encode(TEXTS), wanted.encode(TEXTS), atol=1e-6)


def test_a_compressed_form_takes_the_place_of_both_files(
    encoder: Encoder, halves: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, whole, _ = encoder

    class Accepted:
        form = whole

    keep(Accepted, halves.folder)  # type: ignore[arg-type]
    assert not onnx_files.is_split(halves.graph)
    np.testing.assert_array_equal(Form(halves.folder).encode(TEXTS), whole.encode(TEXTS))
