import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from counterpoint import artifacts, columns, training
from counterpoint.errors import ConfigError, DataError
from counterpoint.model_inputs import pad
from counterpoint.recommender import Recommender
from tests.counterpoint import toys

USERS = toys.histories([(0, True), (5, False), (2, True)], [], [(7, True)])


@pytest.fixture(scope="module")
def recommender(tmp_path_factory) -> Recommender:
    tables = toys.world()
    folded, drawn = toys.prepared(tables)
    return training.fit(
        folded,
        tables.items,
        tables.users,
        drawn,
        toys.small_config(),
        workdir=tmp_path_factory.mktemp("work"),
        attributes={"user": {"age": {"bins": [18]}}},
    )


def test_a_saved_model_is_the_same_model(recommender, tmp_path: Path) -> None:
    recommender.save(tmp_path)
    loaded = Recommender.load(tmp_path)
    np.testing.assert_array_equal(loaded.score(USERS), recommender.score(USERS))
    assert loaded.settings == recommender.settings
    assert loaded.item_ids == recommender.item_ids
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [artifacts.MODEL, artifacts.MODEL_TENSORS, artifacts.ITEMS]
    )
    report = {name: value for name, value in recommender.report.items() if name != "curves"}
    assert loaded.report == json.loads(json.dumps(report))


@pytest.mark.parametrize(
    "damage",
    ["tensors", "truncated", "items", "missing", "settings", "json", "format"],
)
def test_a_damaged_folder_is_refused(recommender, tmp_path: Path, damage: str) -> None:
    recommender.save(tmp_path)
    tensors, model = tmp_path / artifacts.MODEL_TENSORS, tmp_path / artifacts.MODEL
    description = json.loads(model.read_text())
    if damage == "tensors":
        content = bytearray(tensors.read_bytes())
        content[-1] ^= 1
        tensors.write_bytes(content)
    elif damage == "truncated":
        tensors.write_bytes(tensors.read_bytes()[:100])
    elif damage == "items":
        recommender.items.head(3).write_parquet(tmp_path / artifacts.ITEMS)
    elif damage == "missing":
        tensors.unlink()
    elif damage == "settings":
        description["settings"]["dim"] = 7
        model.write_text(json.dumps(description))
    elif damage == "json":
        model.write_text("{")
    else:
        description["format"] = 99
        model.write_text(json.dumps(description))
    with pytest.raises(DataError, match="no usable model"):
        Recommender.load(tmp_path)


def test_lists_agree_with_the_scores(recommender) -> None:
    lists = recommender.recommend(USERS, 4)
    assert lists.schema == columns.RECOMMENDATIONS
    scores = recommender.score(USERS)
    for row, user in enumerate(USERS.user_ids):
        own = lists.filter(pl.col(columns.USER) == user)
        seen = USERS.items[USERS.indptr[row] : USERS.indptr[row + 1]]
        best = [i for i in np.argsort(-scores[row], kind="stable") if i not in seen][:4]
        assert own[columns.ITEM].to_list() == [recommender.item_ids[i] for i in best]
        assert own[columns.RANK].to_list() == [1, 2, 3, 4]
        np.testing.assert_allclose(own[columns.SCORE], scores[row, best])


def test_seen_items_and_candidates(recommender) -> None:
    everything = recommender.recommend(USERS, 24, exclude_seen=False)
    assert len(everything) == 3 * 24
    few = recommender.recommend(USERS, 24, candidates=["i0", "i9"])
    assert set(few[columns.ITEM]) <= {"i0", "i9"} and len(few) == 5
    with pytest.raises(DataError, match=r"1 candidates.*'new'.*extend"):
        recommender.recommend(USERS, 3, candidates=["i0", "new"])
    assert recommender.recommend(toys.histories(), 3).schema == columns.RECOMMENDATIONS


def test_chunks_do_not_change_scores(recommender, monkeypatch) -> None:
    whole = recommender.score(USERS)
    monkeypatch.setattr("counterpoint.recommender.MAX_SCORES", 24)
    np.testing.assert_allclose(recommender.score(USERS), whole, rtol=1e-5, atol=1e-5)


def test_new_items_are_scored_from_what_is_known_about_them(recommender, tmp_path: Path) -> None:
    new = pl.DataFrame(
        {
            columns.ITEM: ["i0", "space2", "farm2", "blank", "space2"],
            columns.ATTRIBUTES: [None, ["genre=space"], ["genre=farm"], None, []],
        }
    )
    extended = recommender.extend(new)
    assert extended.item_ids == [*recommender.item_ids, "space2", "farm2", "blank"]
    index = extended.item_index
    users = toys.histories(*[[(index[f"i{i + t}"], True) for i in (0, 4)] for t in (0, 1)])
    scores = extended.score(users)
    np.testing.assert_allclose(scores[:, :24], recommender.score(users), rtol=1e-5, atol=1e-5)
    assert scores[0, index["space2"]] > scores[0, index["farm2"]]
    assert scores[1, index["space2"]] < scores[1, index["farm2"]]
    assert (scores[:, index["blank"]] <= scores[:, :16].min(1)).all()

    met_new = extended.score(toys.histories([(index["blank"], True), (0, True)]))
    assert np.isfinite(met_new).all()
    extended.save(tmp_path)
    np.testing.assert_array_equal(Recommender.load(tmp_path).score(users), scores)
    assert recommender.extend(new.head(1)) is recommender


def test_only_the_newest_events_are_read() -> None:
    inputs = pad(USERS, ["club=a"], 2)
    assert inputs.history.tolist() == [[6, 3], [0, 0], [8, 0]]
    assert inputs.history_age.tolist() == [[1, 0], [0, 0], [0, 0]]
    assert inputs.history_kind.tolist() == [[2, 1], [0, 0], [1, 0]]
    with pytest.raises(ConfigError, match="history_length = 0"):
        pad(USERS, ["club=a"], 0)
