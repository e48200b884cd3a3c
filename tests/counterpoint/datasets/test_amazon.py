import gzip
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from counterpoint import columns, datasets
from counterpoint.datasets import Source
from counterpoint.errors import ConfigError, DataError

DATA = Path(__file__).parents[2] / "data"
REVIEW = {"reviewerID": "A1", "asin": "B1", "overall": 5.0, "unixReviewTime": 1451606400}

Read = Callable[..., Source]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads ``amazon`` with options."""

    calls = itertools.count()

    def reader(**options: Any) -> Source:
        staging = tmp_path / f".staging{next(calls)}"
        return datasets.read("amazon", options, cache=tmp_path, staging=staging)

    return reader


def release(year: str) -> str:
    return str(DATA / f"amazon-{year}")


def lines(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_both_releases_describe_the_same_products(read: Read) -> None:
    old = read(path=release("2018")).items.collect()
    new = read(path=release("2023")).items.collect()
    described = ["item_id", "title", "text"]
    assert old.select(described).equals(new.select(described))
    assert old["title"].to_list() == ["[2 Pack] Oak Soap", "Cedar Comb", "Fern Oil"]
    assert old["text"].to_list() == ["Unscented\nA mild bar.\nMade by hand.", None, None]
    assert old["attributes"].to_list() == [
        ["category=Beauty", "category=Soap & Bath", "department=All Beauty",
         "brand=Birch & Co", "price=10-24"],
        ["department=All Beauty", "price=<10"],
        ["category=Beauty", "department=All Beauty", "brand=Birch & Co"],
    ]  # fmt: skip
    assert new["attributes"][0].to_list() == old["attributes"][0].to_list()


def test_reviews_of_both_releases(read: Read) -> None:
    old = read(path=release("2018"))
    new = read(path=release("2023"))
    assert (old.name, new.name) == ("amazon Small_Soaps_5 (2018)", "amazon Small_Soaps (2023)")
    first = old.interactions.collect()[:5]
    second = new.interactions.collect()[:5]
    whole = pl.col(columns.TIMESTAMP).dt.truncate("1s")
    assert second.with_columns(whole).equals(first)
    assert first["positive"].to_list() == [True, False, True, False, True]
    assert second["item_id"][0] == "B001", "variants share their parent_asin"
    assert old.licence is not None and "research use" in old.licence


@pytest.mark.parametrize("year", ["2018", "2023"])
def test_nothing_of_a_review_reaches_a_product(read: Read, year: str) -> None:
    source = read(path=release(year))
    told = json.dumps(source.items.collect().to_dicts(), default=str)
    for leak in ("secret", "7.0 oz", "4.5", "12,345", "B001-"):
        assert leak not in told


def test_without_metadata_there_is_nothing_about_products(read: Read) -> None:
    source = read(reviews=f"{release('2018')}/Small_Soaps_5.json.gz")
    assert source.items.collect().is_empty()
    assert len(source.interactions.collect()) == 7


def test_products_without_a_review_are_left_out_unless_asked_for(read: Read) -> None:
    assert "B009" not in read(path=release("2018")).items.collect()["item_id"]
    source = read(path=release("2018"), unreviewed=True)
    moss = source.items.collect().filter(pl.col("item_id") == "B009")
    assert moss["attributes"][0].to_list()[-1] == "price=100+"


def test_several_files_and_patterns(read: Read, tmp_path: Path) -> None:
    one = lines(tmp_path / "a.jsonl", [REVIEW])
    two = tmp_path / "b.jsonl.gz"
    two.write_bytes(gzip.compress(json.dumps({**REVIEW, "reviewerID": "A2"}).encode()))
    for reviews in ([one, str(two)], str(tmp_path / "*.jsonl*")):
        source = read(reviews=reviews)
        assert source.interactions.collect()["user_id"].to_list() == ["A1", "A2"]


def test_bad_reviews_are_kept_apart(read: Read, tmp_path: Path) -> None:
    good = lines(tmp_path / "r.json", [REVIEW] * 3)
    with Path(good).open("a") as file:
        file.write('{"reviewerID": "A2", "asin":\n')
        for change in ({"overall": "five"}, {"unixReviewTime": 1451606400000}, {"asin": None}):
            file.write(json.dumps({**REVIEW, **change}) + "\n")
        file.write(json.dumps({k: v for k, v in REVIEW.items() if k != "unixReviewTime"}) + "\n")
    source = read(reviews=good)
    assert sorted(source.rejected.collect()["reason"]) == [
        "overall 'five' is not a number",
        "the line is no JSON object",
        "unixReviewTime '1451606400000' is a number of ms in a column of s",
    ]
    events = source.interactions.collect()
    # What lacks an id or a time is left to the validation, which quarantines it.
    assert len(events) == 5
    assert events["item_id"].null_count() == events["timestamp"].null_count() == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"user": 1, "item": 2}], r"keys item, user, but reviews have: reviewerID, asin.*tables"),
        ([{"asin": "B1", "title": "Soap"}], "looks like metadata: name it in `metadata`"),
        ([], "is empty|no JSON object"),
    ],
)
def test_other_files_are_refused(
    read: Read, tmp_path: Path, rows: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(reviews=lines(tmp_path / "r.json", rows))


def test_files_that_are_not_there(read: Read, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.json does not exist"):
        read(reviews=str(tmp_path / "absent.json"))
    with pytest.raises(DataError, match="is not a folder"):
        read(path=str(tmp_path / "absent"))
    shutil.copy(f"{release('2018')}/meta_Small_Soaps.json.gz", tmp_path)
    with pytest.raises(DataError, match="holds no reviews"):
        read(path=str(tmp_path))
    other = lines(tmp_path / "other.json", [{"id": 1}])
    with pytest.raises(DataError, match="metadata have asin"):
        read(reviews=lines(tmp_path / "r.json", [REVIEW]), metadata=other)


@pytest.mark.parametrize("options", [{}, {"path": "a", "reviews": "b"}, {"metadata": "m"}])
def test_the_files_are_given_in_one_way(read: Read, options: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="give either `path`"):
        read(**options)
