import shutil
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


def test_dat_and_csv_files_hold_the_same_ratings_and_films(tmp_path: Path) -> None:
    dat, csv = read("movielens-1m", tmp_path), read("movielens-csv", tmp_path)
    rows = len(dat.interactions.collect())
    assert csv.interactions.collect()[:rows].equals(dat.interactions.collect())
    films = dat.items.collect()
    assert csv.items.collect()[: len(films)].equals(films)
    assert films["title"][0] == "Café of Dawn"
    assert films["attributes"][3].to_list() == [
        "genre=Children's", "genre=Comedy", "year=1999", "decade=1990s"
    ]  # fmt: skip
    for source in (dat, csv):
        assert source.rejected.collect().is_empty()
        assert source.licence is not None and "GroupLens" in source.licence
        assert source.has_timestamps


def test_codes_of_users_become_words(tmp_path: Path) -> None:
    users = read("movielens-1m", tmp_path).users.collect()
    assert users["attributes"].to_list() == [
        ["age=<18", "gender=F", "occupation=K-12 student"],
        ["age=56+", "gender=M", "occupation=self-employed"],
        ["age=25-34", "gender=M", "occupation=scientist"],
    ]


def test_films_without_genre_or_year(tmp_path: Path) -> None:
    films = read("movielens-csv", tmp_path).items.collect()[6:]
    assert films["title"].to_list() == ["Harbour Nights", "Tower, The", "Evening News, The"]
    assert films["attributes"].to_list() == [
        ["year=1983", "decade=1980s"],
        ["genre=Drama"],
        ["genre=Documentary", "year=2019", "decade=2010s"],
    ]
    assert films["text"].null_count() == 3, "tags tell of later ratings"


def test_ten_million_has_no_users_file_and_is_utf_8(tmp_path: Path) -> None:
    for name in ("ratings.dat", "movies.dat"):
        text = (DATA / "movielens-1m" / name).read_text("latin-1")
        (tmp_path / name).write_text(text, "utf-8")
    source = read("10m", tmp_path, path=str(tmp_path))
    assert source.items.collect()["title"][0] == "Café of Dawn"
    assert source.users.collect().is_empty()


def test_the_release_names_the_data_set(tmp_path: Path) -> None:
    folder = tmp_path / "ml-25m"
    shutil.copytree(DATA / "movielens-csv", folder)
    assert read("a", tmp_path, path=str(folder)).name == "movielens-25m"
    assert read("movielens-csv", tmp_path).name == "movielens"


def test_positives_may_be_told_otherwise(tmp_path: Path) -> None:
    source = read("movielens-csv", tmp_path, positive={"at_user_median": True})
    assert source.positive_rule == {"at_user_median": True}


def test_bad_ratings_are_kept_apart(tmp_path: Path) -> None:
    for name in ("movies.csv", "ratings.csv"):
        shutil.copy(DATA / "movielens-csv" / name, tmp_path)
    with (tmp_path / "ratings.csv").open("a") as file:
        file.write("5,1,five,978307200\r\n5,2,4.0,978307200000\r\n5,3,4.0\r\n5,4,4.0,\r\n")
    source = read("bad", tmp_path, path=str(tmp_path))
    reasons = sorted(source.rejected.collect()["reason"])
    assert len(reasons) == 3
    assert reasons[0].startswith("line 17 unreadable")
    assert reasons[1:] == [
        "rating 'five' is not a number",
        "timestamp '978307200000' is a number of ms in a column of s",
    ]
    assert source.interactions.collect()["timestamp"][-1] is None


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
    allowed = r"u\.data.*ratings\.dat.*ratings\.csv.*\*\.inter.*Found: amazon-2018, "
    with pytest.raises(DataError, match=allowed):
        read(".", tmp_path)
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n")
    with pytest.raises(DataError, match=r"32M, movies\.csv is missing"):
        read("any", tmp_path, path=str(tmp_path))
    with pytest.raises(SetupError, match="is not a folder"):
        read("absent", tmp_path)
    with pytest.raises(ConfigError, match="Known here: path, source, min_rating, positive"):
        read("recbole", tmp_path, min_ratng=3)
