import json
import re
from pathlib import Path

import polars as pl
import pytest

from counterpoint import artifacts, columns, tables
from counterpoint.config import ValidationConfig
from counterpoint.errors import DataError, ValidationFailure
from counterpoint.stages import validate
from tests.counterpoint.expectations.conftest import Writer, clean, write

__all__ = ["write"]


def test_clean_tables_pass(write: Writer, tmp_path: Path) -> None:
    dataset = write(clean())
    result = validate.run(ValidationConfig(), dataset=dataset, validated=tmp_path / "v")
    assert (result.verdict, result.notes) == ("pass", [])
    assert result.figures["accepted_interactions"] == 200
    assert tables.read(tmp_path / "v").interactions.equals(clean())
    facts = tables.read_json(tmp_path / "v" / artifacts.DATASET)
    assert facts["rows"] == {"interactions": 200, "items": 0, "users": 0}
    verdict = tables.read_json(tmp_path / "v" / artifacts.VALIDATION_VERDICT)
    assert verdict["verdict"] == "pass"
    for name, _ in tables.FILES.values():
        assert pl.read_parquet(tmp_path / "v" / artifacts.QUARANTINE / name).is_empty()


def test_a_failure_names_table_rule_count_and_three_rows(write: Writer, tmp_path: Path) -> None:
    frame = clean().with_columns(
        pl.when(pl.col(columns.ROW) < 20).then(None).otherwise(columns.ITEM).alias(columns.ITEM)
    )
    dataset, validated = write(frame), tmp_path / "v"
    (validated / artifacts.DATASET).parent.mkdir()
    (validated / artifacts.DATASET).write_text("of an earlier run")
    with pytest.raises(ValidationFailure) as caught:
        validate.run(ValidationConfig(), dataset=dataset, validated=validated)
    text = str(caught.value)
    assert "interactions: at most 5.00% of the rows may be quarantined" in text
    assert "item_id is missing: 20 rows, for example" in text
    shown = re.findall(r"^    (\{.*\})$", text, re.MULTILINE)
    assert [json.loads(row)["row_id"] for row in shown] == [0, 1, 2]
    verdict = tables.read_json(validated / artifacts.VALIDATION_VERDICT)
    assert verdict["verdict"] == "fail"
    assert verdict["tables"]["interactions"]["quarantined"] == 20
    quarantined = pl.read_parquet(validated / artifacts.QUARANTINE / artifacts.INTERACTIONS)
    assert len(quarantined) == 20
    assert validate.docs_page(validated).is_file()
    assert not (validated / artifacts.DATASET).exists(), "nothing would load what failed"


@pytest.mark.parametrize(
    ("rows", "column", "said"),
    [
        (clean(5), None, "at least 20 interactions (validation.min_interactions)"),
        (clean(), columns.USER, "at least 2 distinct users (validation.min_users)"),
        (clean(), columns.ITEM, "at least 2 distinct items (validation.min_items)"),
    ],
)
def test_too_little_data_fails(
    write: Writer, tmp_path: Path, rows: pl.DataFrame, column: str | None, said: str
) -> None:
    frame = rows.with_columns(pl.lit("one").alias(column)) if column else rows
    with pytest.raises(ValidationFailure, match=re.escape(said)):
        validate.run(ValidationConfig(), dataset=write(frame), validated=tmp_path / "v")


def test_a_few_bad_rows_warn(write: Writer, tmp_path: Path) -> None:
    frame = clean().with_columns(
        pl.when(pl.col(columns.ROW) == 3).then(None).otherwise(columns.USER).alias(columns.USER)
    )
    result = validate.run(ValidationConfig(), dataset=write(frame), validated=tmp_path / "v")
    assert result.verdict == "warn"
    assert result.notes == [
        "interactions: 1 row of 200 (0.50%) quarantined: user_id is missing (1)."
    ]


def test_the_page_is_self_contained_and_shows_every_suite(write: Writer, tmp_path: Path) -> None:
    rejected = [("interactions", '"<b>"', "<script>alert(1)</script>")]
    dataset = write(clean(), items=[{"item_id": "i0", "title": "T"}], rejected=rejected)
    validate.run(ValidationConfig(), dataset=dataset, validated=tmp_path / "v")
    page = validate.docs_page(tmp_path / "v")
    text = page.read_text("utf-8")
    assert page.stat().st_size < 1_000_000
    assert not re.search(r"<(script|link|img|iframe)\b|\bsrc=|\bhref=|https?://", text)
    for suite in ("interactions", "interactions as a whole", "items", "users as a whole"):
        assert f"<h2>{suite}</h2>" in text
    assert text.count("<div") == text.count("</div>")
    assert "values must never be null" in text


def test_an_unfinished_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has not finished"):
        validate.run(ValidationConfig(), dataset=tmp_path, validated=tmp_path / "v")
