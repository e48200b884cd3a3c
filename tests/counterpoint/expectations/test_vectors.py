"""What validation makes of the vectors of a modality."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from counterpoint import artifacts, columns, tables, vector_tables
from counterpoint.config import ValidationConfig
from counterpoint.errors import ValidationFailure
from counterpoint.expectations import quarantine
from counterpoint.stages import validate
from tests.counterpoint.expectations.conftest import Writer, clean

NAME = "image"


def run(folder: Path, rows: list[tuple], validated: Path, **options: float) -> pl.DataFrame:
    """Accepted vectors; ``rows`` are added to 300 fine ones of the items 0 to 6."""
    frame = pl.DataFrame(rows, schema=columns.VECTORS, orient="row")
    frame.write_parquet(vector_tables.path(folder, NAME))
    validate.run(ValidationConfig(**options), dataset=folder, validated=validated)
    return vector_tables.read(validated)[NAME]


def fine(width: int = 4) -> list[tuple]:
    return [(f"i{n}", [float(n + 1)] * width) for n in range(7)]


def reasons(validated: Path) -> dict[str | None, str]:
    file = validated / artifacts.QUARANTINE / vector_tables.path(validated, NAME).name
    return dict(pl.read_parquet(file).select("item_id", "reason").iter_rows())


@pytest.fixture
def folder(write: Writer) -> Path:
    return write(clean())


def test_every_fault_is_quarantined_with_its_reason(folder: Path, tmp_path: Path) -> None:
    bad = [
        ("i0", [1.0] * 4),
        ("i1x", [1.0] * 4),
        (None, [1.0] * 4),
        ("i6", [1.0, float("nan"), 1.0, 1.0]),
        ("i7", [float("inf")] * 4),
        ("i8", [1.0, None, 1.0, 1.0]),
        ("i9", [0.0] * 4),
        ("i10", None),
        ("i11", []),
        ("i12", [1.0] * 5),
    ]
    kept = run(folder, fine()[:6] + bad, tmp_path / "v", fail_fraction=1.0)
    assert kept.rows() == fine()[:6]
    found = reasons(tmp_path / "v")
    assert len(found) == len(bad)
    assert found["i0"].startswith("duplicate") and found[None] == "item_id is missing"
    assert found["i1x"] == "item is neither in the items nor in the interactions"
    for item in ("i6", "i7", "i8"):
        assert found[item].startswith("vector holds NaN, infinity or a null")
    assert found["i9"].startswith("vector holds only zeros")
    assert found["i10"].startswith("vector is missing") and found["i11"].startswith("vector is mis")
    assert found["i12"].startswith("vector has not 4 numbers, as most have")
    facts = tables.read_json(tmp_path / "v" / artifacts.DATASET)
    assert facts["rows"]["vectors.image"] == 6 and facts["quarantined"]["vectors.image"] == 10
    verdict = tables.read_json(tmp_path / "v" / artifacts.VALIDATION_VERDICT)
    judged = verdict["tables"]["vectors.image"]
    assert judged["duplicates"] == 1 and judged["harmless"] == 4
    assert "first_numbers" in judged["broken"][0]["examples"][0]


def test_vectors_that_say_nothing_never_stop_the_pipeline(folder: Path, tmp_path: Path) -> None:
    silent = [(f"other {n}", [1.0] * 4) for n in range(50)]
    silent += [(f"i{n}", None) for n in range(5, 7)]
    assert len(run(folder, fine()[:5] + silent, tmp_path / "v")) == 5


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(f"i{n}", [1.0] * (n + 1)) for n in range(7)], "vector has not 1 numbers"),
        ([(f"x{n}", [1.0] * 4) for n in range(7)], "usable vector of modality image"),
        ([(f"i{n}", [0.0] * 4) for n in range(7)], "vector holds only zeros: 7 rows"),
        ([(f"i{n}", [float("nan")] * 4) for n in range(7)], "vector holds NaN"),
        ([(f"i{n}", [1.0] * 4097) for n in range(7)], "more than 4096 numbers"),
        ([], "usable vector of modality image"),
    ],
)
def test_a_modality_without_use_stops_it(
    rows: list, said: str, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValidationFailure, match=said):
        run(folder, rows, tmp_path / "v")


def test_an_item_of_the_items_table_alone_is_known(write: Writer, tmp_path: Path) -> None:
    folder = write(clean(), items=[{"item_id": "new", "title": "New"}])
    assert len(run(folder, [*fine(), ("new", [1.0] * 4)], tmp_path / "v")) == 8


def test_of_another_run_nothing_stays(folder: Path, tmp_path: Path) -> None:
    run(folder, fine(), tmp_path / "v")
    vector_tables.clear(folder)
    validate.run(ValidationConfig(), dataset=folder, validated=tmp_path / "v")
    assert not vector_tables.named(tmp_path / "v")
    assert not vector_tables.named(tmp_path / "v" / artifacts.QUARANTINE)


def test_several_slices_give_one_answer(write: Writer, tmp_path: Path, monkeypatch) -> None:
    folder = write(clean(20))
    rows = [*fine(), ("i2", [1.0] * 4), ("i3", [np.nan] * 4)]
    whole = run(folder, rows, tmp_path / "v", fail_fraction=1.0)
    monkeypatch.setattr(quarantine, "SLICE_ROWS", 5)
    sliced = run(folder, rows, tmp_path / "w", fail_fraction=1.0)
    assert whole.equals(sliced) and reasons(tmp_path / "v") == reasons(tmp_path / "w")
