"""Fixtures that several parts share."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

GENRES = ("drama", "comedy", "horror", "western")


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw files of a small shop whose users keep to one genre: 80 users, 48 items, 2,000 events."""
    folder = tmp_path_factory.mktemp("shop")
    random = np.random.default_rng(0)
    items = [f"i{n}" for n in range(48)]
    genres = [GENRES[n % 4] for n in range(48)]
    pl.DataFrame(
        {
            "item_id": items,
            "title": [f"The {genre} number {n}" for n, genre in enumerate(genres)],
            "genre": genres,
        }
    ).write_csv(folder / "items.csv")
    rows = []
    for user in range(80):
        taste = user % 4
        weights = np.array([6.0 if n % 4 == taste else 1.0 for n in range(48)])
        chosen = random.choice(48, size=25, replace=False, p=weights / weights.sum())
        starts = 1_700_000_000 + int(random.integers(0, 60)) * 86_400
        for place, item in enumerate(chosen):
            rows.append((f"u{user}", items[item], starts + place * 3_600))
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(
        folder / "interactions.csv"
    )
    pl.DataFrame(
        {"user_id": [f"u{n}" for n in range(80)], "city": [f"c{n % 4}" for n in range(80)]}
    ).write_csv(folder / "users.csv")
    return folder


@pytest.fixture(scope="session")
def image_run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of a run with a modality, from ingest to export; not to be changed by tests."""
    from tests.counterpoint import image_run

    return image_run.run(tmp_path_factory.mktemp("images"))
