from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from counterpoint import artifacts, tables
from counterpoint.config import IngestConfig, ValidationConfig
from counterpoint.errors import ConfigError, DataError, ValidationFailure
from counterpoint.stages import ingest, validate

DATA = Path(__file__).parents[2] / "data"


def own(folder: Path, **options: Any) -> IngestConfig:
    return IngestConfig(dataset="tables", options={"folder": str(folder), **options})


def test_a_data_set_folder_is_complete(tmp_path: Path) -> None:
    config = IngestConfig(dataset="movielens", options={"path": str(DATA / "grouplens")})
    (tmp_path / "out/.staging-of-a-killed-run").mkdir(parents=True)
    result = ingest.run(config, dataset=tmp_path / "out")
    facts = tables.read_json(tmp_path / "out" / artifacts.DATASET)
    read = tables.read(tmp_path / "out")
    assert facts["rows"] == {"interactions": len(read.interactions), "items": 6, "users": 5}
    assert facts["content_sha256"] == result.content_sha256 == tables.content_hash(read)
    assert facts["licence"] in result.notes
    assert facts["attributes"]["user"]["age"]["bins"]
    for table, (_, schema) in tables.FILES.items():
        assert getattr(read, table).schema == schema
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {name for name, _ in tables.FILES.values()} | {
        artifacts.DATASET,
        artifacts.REJECTED,
    }


def test_equal_content_has_an_equal_hash_and_a_changed_value_another(tmp_path: Path) -> None:
    rows = pl.DataFrame({"user": [1, 2], "item": [3, 4], "rating": [5.0, 4.0]})
    rows.write_csv(tmp_path / "a.csv")
    rows.write_parquet(tmp_path / "a.parquet", row_group_size=1)
    rows.with_columns(rating=pl.Series([5.0, 4.5])).write_csv(tmp_path / "b.csv")
    hashes = [
        ingest.run(own(tmp_path, interactions=name), dataset=tmp_path / f"out{n}").content_sha256
        for n, name in enumerate(("a.csv", "a.parquet", "b.csv"))
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_header_without_rows_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("user,item,rating\n")
    with pytest.raises(DataError, match=r"No interaction .* header but no data rows"):
        ingest.run(own(tmp_path, interactions="e.csv"), dataset=tmp_path / "out")


def test_a_number_column_of_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("user,item,rating\n1,1,good\n1,2,bad\n")
    with pytest.raises(DataError, match="rating 'good' is not a number; rating 'bad'"):
        ingest.run(own(tmp_path, interactions="e.csv"), dataset=tmp_path / "out")


def test_a_rule_without_positives_is_an_error_and_leaves_no_complete_folder(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("user,item,rating\n1,1,5\n")
    config = own(tmp_path, interactions="e.csv")
    ingest.run(config, dataset=tmp_path / "out")
    with pytest.raises(DataError, match="counts as positive"):
        ingest.run(
            own(tmp_path, interactions="e.csv", positive={"min_value": 6}), dataset=tmp_path / "out"
        )
    assert not (tmp_path / "out" / artifacts.DATASET).exists()


def test_an_unknown_data_set_names_the_known(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="movielens, tables"):
        ingest.run(IngestConfig(dataset="netflix"), dataset=tmp_path / "out")


@pytest.mark.parametrize("column", ["user", "item"])
def test_one_user_or_one_item_stops_at_validation(tmp_path: Path, column: str) -> None:
    frame = pl.DataFrame({"user": range(50), "item": range(50)}).with_columns(
        pl.lit(1).alias(column)
    )
    frame.write_csv(tmp_path / "e.csv")
    ingest.run(own(tmp_path, interactions="e.csv"), dataset=tmp_path / "out")
    with pytest.raises(ValidationFailure, match=f"distinct {column}s"):
        validate.run(ValidationConfig(), dataset=tmp_path / "out", validated=tmp_path / "v")


def test_rows_in_are_rows_accepted_and_quarantined(tmp_path: Path) -> None:
    lines = [f"u{n % 9},i{n % 11},{n % 5 + 1},{1_700_000_000 + n}" for n in range(400)]
    lines[3], lines[5], lines[8], lines[9] = "u1", "u1,i1,many,1", ",i1,1,1700000000", lines[10]
    (tmp_path / "e.csv").write_text("user,item,rating,time\n" + "\n".join(lines) + "\n")
    ingest.run(own(tmp_path, interactions="e.csv"), dataset=tmp_path / "out")
    result = validate.run(ValidationConfig(), dataset=tmp_path / "out", validated=tmp_path / "v")
    assert result.figures["accepted_interactions"] == 396
    quarantined = pl.read_parquet(tmp_path / "v" / artifacts.QUARANTINE / artifacts.INTERACTIONS)
    assert len(quarantined) == result.figures["quarantined_interactions"] == 4
    assert quarantined["reason"].n_unique() == 4


def test_until_leaves_out_later_events_and_says_so(tmp_path: Path) -> None:
    source = tmp_path / "events.csv"
    source.write_text("user_id,item_id,timestamp\nu,a,2024-01-01\nu,b,2024-02-01\nu,c,2024-03-01\n")
    config = IngestConfig(
        dataset="tables", options={"interactions": str(source)}, until=datetime(2024, 2, 1)
    )
    result = ingest.run(config, dataset=tmp_path / "dataset")
    assert result.figures["interactions"] == 1
    assert any("ingest.until" in note for note in result.notes)
