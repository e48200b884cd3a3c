from pathlib import Path

import polars as pl
import pytest

from counterpoint import datasets
from counterpoint.datasets import Source
from counterpoint.errors import ConfigError, DataError, SetupError
from counterpoint.tables import Tables, content_hash

DATA = Path(__file__).parents[2] / "data"


def read(layout: str, tmp_path: Path, **options: object) -> Source:
    options = {"path": str(DATA / layout), **options}
    return datasets.read("movielens", options, cache=tmp_path, staging=tmp_path / layout)


def collected(source: Source) -> Tables:
    return Tables(source.interactions.collect(), source.items.collect(), source.users.collect())


def test_both_layouts_hold_the_same_data(tmp_path: Path) -> None:
    grouplens = collected(read("grouplens", tmp_path))
    recbole = collected(read("recbole", tmp_path))
    assert content_hash(grouplens) == content_hash(recbole)


def test_titles_genres_years_and_portraits(tmp_path: Path) -> None:
    source = read("grouplens", tmp_path)
    items = source.items.collect()
    assert items["title"][:2].to_list() == ["Café of Dawn", "Iron Harbour"]
    tokens = ["genre=Drama", "genre=Romance", "year=1995", "decade=1990s"]
    assert items["attributes"][0].to_list() == tokens
    assert items["attributes"][5].to_list() == [], "unknown is no genre and no year"
    users = source.users.collect()
    assert users["attributes"][2].to_list() == ["age=<18", "gender=M", "occupation=student"]
    assert source.attributes["user"]["age"] == {"bins": [18.0, 25.0, 35.0, 45.0, 50.0, 56.0]}
    assert source.licence is not None


@pytest.mark.parametrize("mark", [2.0, 4.0])
def test_ratings_from_the_mark_on_are_positive(tmp_path: Path, mark: float) -> None:
    source = read("recbole", tmp_path, min_rating=mark)
    events = source.interactions.collect()
    assert (events["positive"] == (events["value"] >= mark)).all()
    assert source.positive == f"value >= {mark:g}"
    assert source.positive_rule == {"min_value": mark}
    assert source.rejected.collect().is_empty()


def test_timestamps_are_instants(tmp_path: Path) -> None:
    events = read("grouplens", tmp_path).interactions.collect()
    first = (DATA / "grouplens/u.data").read_text().split()[3]
    assert events["timestamp"].dt.epoch("s")[0] == int(first)
    assert events["row_id"].equals(pl.Series("row_id", range(len(events))))


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither u\.data"):
        read(".", tmp_path)
    with pytest.raises(SetupError, match="is not a folder"):
        read("absent", tmp_path)
    with pytest.raises(ConfigError, match="Known here: path, source, min_rating"):
        read("recbole", tmp_path, min_ratng=3)
