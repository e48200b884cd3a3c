import json
import pickle
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint.config.ingest import ModalityConfig
from counterpoint.errors import DataError
from counterpoint.modality_files import UnreadableVector, load, scan

VECTORS = np.arange(12, dtype=np.float32).reshape(4, 3)


def read(path: Path, staging: Path, **options: str) -> tuple[dict[str, list], pl.DataFrame]:
    found = scan("image", ModalityConfig(path=str(path), **options), staging=staging)
    rows = found.rows.collect()
    return dict(rows.iter_rows()), found.rejected.collect()


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    return tmp_path / "staging"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "images"
    made.mkdir()
    for number, vector in enumerate(VECTORS):
        np.save(made / f"i{number}.npy", vector)
    return made


@pytest.mark.parametrize(
    "kind", [pl.List(pl.Float64), pl.Array(pl.Float32, 3), pl.List(pl.Int16), pl.List(pl.Float32)]
)
def test_lists_of_any_numbers_are_read(kind: pl.DataType, tmp_path: Path, staging: Path) -> None:
    file = tmp_path / "images.parquet"
    table = {"sku": [10.0, 11.0, 12.0, 13.0], "size": [1, 2, 3, 4], "e": VECTORS.tolist()}
    pl.DataFrame(table).with_columns(pl.col("e").cast(kind)).write_parquet(file)
    found, rejected = read(file, staging)
    assert found == {str(10 + n): v.tolist() for n, v in enumerate(VECTORS)}
    assert rejected.is_empty()


def test_files_and_parquet_give_the_same_vectors(
    folder: Path, tmp_path: Path, staging: Path
) -> None:
    from_files, rejected = read(folder, staging)
    assert rejected.is_empty()
    parts = tmp_path / "parts"
    parts.mkdir()
    rows = pl.DataFrame({"item_id": list(from_files), "vector": VECTORS.tolist()})
    rows[:2].write_parquet(parts / "a.parquet")
    rows[2:].write_parquet(parts / "b.parquet")
    assert read(parts, staging / "2")[0] == read(parts / "*.parquet", staging / "3")[0]
    assert read(parts, staging / "4")[0] == from_files


def test_an_unreadable_file_is_kept_with_its_reason(folder: Path, staging: Path) -> None:
    np.save(folder / "pickled.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (folder / "bare.npy").write_bytes(pickle.dumps([1.0, 2.0]))
    (folder / "cut.npy").write_bytes((folder / "i0.npy").read_bytes()[:-2])
    (folder / "empty.npy").write_bytes(b"")
    (folder / "large.npy").write_bytes(b"\x93NUMPY" + bytes(2 << 20))
    np.save(folder / "matrix.npy", np.ones((2, 3)))
    np.save(folder / "scalar.npy", np.float32(1))
    np.save(folder / "words.npy", np.array(["a", "b"]))
    with (folder / "archive.npy").open("wb") as file:
        np.savez(file, a=np.ones(3))
    np.save(folder / "row.npy", np.ones((1, 3)))
    (folder / "notes.txt").write_text("about them")
    found = scan("image", ModalityConfig(path=str(folder)), staging=staging)
    assert set(found.rows.collect()["item_id"]) == {"i0", "i1", "i2", "i3", "row"}
    reasons = {
        json.loads(raw)["file"].removesuffix(".npy"): reason
        for table, raw, reason in found.rejected.collect().iter_rows()
        if table == "vectors.image"
    }
    assert set(reasons) == {
        "pickled", "bare", "cut", "empty", "large", "matrix", "scalar", "words", "archive"
    }  # fmt: skip
    assert "never loaded" in reasons["pickled"] and "never loaded" in reasons["bare"]
    assert "'(2, 3)'" in reasons["matrix"] and "archive" in reasons["archive"]
    assert "not numbers" in reasons["words"] and "1048576 bytes" in reasons["large"]
    assert any("1 files" in note and "passed over" in note for note in found.notes)


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    np.save(tmp_path / "bomb.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    (tmp_path / "bare.npy").write_bytes(pickle.dumps(Bomb()))
    for name in ("bomb", "bare"):
        with pytest.raises(UnreadableVector):
            load(tmp_path / f"{name}.npy")
    assert not (tmp_path / "ran").exists()


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=300), headed=st.booleans())
def test_any_bytes_are_a_vector_or_a_reason(content: bytes, headed: bool, tmp_path_factory) -> None:
    file = tmp_path_factory.mktemp("bytes") / "x.npy"
    start = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': ("
    file.write_bytes((start if headed else b"") + content)
    try:
        assert load(file).ndim == 1
    except UnreadableVector as error:
        assert str(error)


def test_a_shape_that_lies_is_a_reason(tmp_path: Path) -> None:
    for size in (10**15, 10**8):
        with (tmp_path / "lie.npy").open("wb") as file:
            shape = {"descr": "<f4", "fortran_order": False, "shape": (size,)}
            np.lib.format.write_array_header_1_0(file, shape)
            file.write(bytes(12))
        with pytest.raises(UnreadableVector, match=r"readable \.npy"):
            load(tmp_path / "lie.npy")


@pytest.mark.parametrize(
    ("table", "options", "said"),
    [
        ({"item_id": ["a"], "price": [1.0]}, {}, "0 columns hold lists of numbers"),
        ({"item_id": ["a"], "u": [[1.0]], "v": [[1.0]]}, {}, "are: u, v. Set `column`"),
        ({"item_id": ["a"], "u": [[1.0]]}, {"column": "uu"}, "Did you mean 'u'?"),
        ({"item_id": ["a"], "u": [["x"]]}, {"column": "u"}, "column 'u' is List(String)"),
        ({"item_id": ["a"], "u": [[[1.0]]]}, {"column": "u"}, "column 'u' is List(List"),
        ({"number": ["a"], "u": [[1.0]]}, {}, "Set `item_id`"),
        ({"number": ["a"], "u": [[1.0]]}, {"item_id": "nr"}, "Column 'nr' is not in"),
    ],
)
def test_a_table_without_vectors_is_an_error(
    table: dict, options: dict, said: str, tmp_path: Path, staging: Path
) -> None:
    pl.DataFrame(table).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError) as caught:
        read(tmp_path / "t.parquet", staging, **options)
    assert said in str(caught.value) and "ingest.modalities.image" in str(caught.value)


def test_a_path_that_holds_nothing_is_an_error(tmp_path: Path, folder: Path, staging: Path) -> None:
    (tmp_path / "none").mkdir()
    for path, said in (
        (tmp_path / "absent.parquet", "does not exist"),
        (tmp_path / "no*.parquet", "No file matches"),
        (tmp_path / "none", "it has neither"),
        (folder / "i0.npy", "no Parquet data"),
    ):
        with pytest.raises(DataError, match=said):
            read(path, staging)
    with pytest.raises(DataError, match="column names a column"):
        read(folder, staging, column="v")
    (folder / "x.parquet").write_bytes(b"")
    with pytest.raises(DataError, match="it has both"):
        read(folder, staging)
