import re
from pathlib import Path

import numpy as np
import pytest

from counterpoint import embedding_map as maps
from counterpoint import training
from counterpoint.recommender import Recommender
from tests.counterpoint import toys


def islands(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three clusters of forty directions in 16 dimensions."""
    rng = np.random.default_rng(seed)
    centres = np.eye(16)[:3] * 3
    owner = np.repeat(np.arange(3), 40)
    return (centres[owner] + 0.3 * rng.normal(size=(120, 16))).astype(np.float32), owner


def test_near_vectors_are_near_on_the_map() -> None:
    vectors, owner = islands()
    points = maps.layout(vectors, seed=0)
    assert points.shape == (120, 2) and points.min() >= 0 and points.max() <= 1
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1) + 9 * np.eye(120)
    assert (owner[distance.argmin(1)] == owner).mean() > 0.95


def test_length_does_not_matter_and_one_seed_gives_one_map() -> None:
    vectors, _ = islands()
    first = maps.layout(vectors, seed=3)
    np.testing.assert_array_equal(first, maps.layout(vectors, seed=3))
    longer = vectors * np.linspace(1, 4, 120, dtype=np.float32)[:, None]
    distance = np.linalg.norm(maps.layout(longer, seed=3) - first, axis=1)
    assert np.median(distance) < 0.2


@pytest.mark.parametrize("items", [0, 1, 2, 3, 7])
def test_few_or_equal_items_have_a_map_too(items: int) -> None:
    rng = np.random.default_rng(0)
    for vectors in (rng.normal(size=(items, 5)), np.ones((items, 5)), np.zeros((items, 5))):
        points = maps.layout(vectors.astype(np.float32), seed=0)
        assert points.shape == (items, 2) and np.isfinite(points).all()


def test_the_telling_attribute_divides_the_items() -> None:
    attributes = [
        ["medium=film", f"genre={'Drama' if n % 2 else 'Comedy'}", f"isbn={n}"] for n in range(40)
    ]
    attributes[0] = ["medium=film", "genre=Comedy", "genre=Western"]
    name, groups = maps.telling([*attributes, None])
    assert name == "genre"
    assert groups[0] == "Western" and groups[1] == "Drama" and groups[-1] == ""
    assert maps.telling([None, []]) == (None, ["", ""])


@pytest.fixture(scope="module")
def recommender(tmp_path_factory) -> Recommender:
    tables = toys.world()
    folded, drawn = toys.prepared(tables)
    workdir = tmp_path_factory.mktemp("work")
    config = toys.small_config()
    return training.fit(folded, tables.items, tables.users, drawn, config, workdir=workdir)


def test_the_page_shows_the_most_popular_warm_items(recommender, tmp_path: Path) -> None:
    found = maps.draw(recommender, max_items=10, seed=0)
    assert len(found.points) == len(found.titles) == len(found.groups) == 10
    assert found.attribute == "genre" and set(found.groups) <= {"space", "farm"}
    everything = maps.draw(recommender, max_items=100, seed=0)
    assert len(everything.points) == int(recommender.module.cold.warm.sum()) < 24
    maps.write(found, tmp_path / "map.html")
    page = (tmp_path / "map.html").read_text()
    assert page.count("<circle ") == 10 and page.count("<title>") == 11
    assert not re.search(r"(src|href)=", page) and "http" not in page


def test_titles_cannot_break_the_page() -> None:
    found = maps.Map(np.full((1, 2), 0.5), ["<script>x</script>"], ["a&b"], "g")
    page = maps.figure(found)
    assert "<script>x" not in page and "&lt;script&gt;x" in page and "a&amp;b" in page
