"""A live item scores as ``Recommender.extend`` scores it, for a trained model with text."""

from pathlib import Path

import numpy as np
import polars as pl

from counterpoint import columns
from counterpoint.cold import TIE
from counterpoint.histories import from_events
from counterpoint.recommender import Recommender
from counterpoint.stages import export
from tests.counterpoint.stages import test_export as exports
from tests.serving.conftest import in_process
from tests.serving.test_catalogue import ask, change, shown

trained = exports.trained

NEW = [
    {"item_id": "new even", "title": "title even", "attributes": ["half=0"]},
    {"item_id": "new odd", "title": "title odd", "text": "odd odd title"},
    {"item_id": "attributes only", "attributes": ["half=1"]},
    {"item_id": "unseen attribute", "title": "title", "attributes": ["half=7"]},
    {"item_id": "nothing"},
]


def test_live_scores_are_those_of_the_extended_recommender(
    trained: dict[str, Path], tmp_path: Path
) -> None:
    onnx = tmp_path / "version" / "onnx"
    export.run(exports.CONFIG, onnx=onnx, **{n: trained[n] for n in ("features", "model")})
    options = {"version": "v", "live_items": str(tmp_path / "items.sqlite")}
    models = in_process({"onnx": onnx}, tmp_path / "models", options)
    change(models, "add", *NEW)
    recommender = Recommender.load(trained["model"])
    rows = pl.DataFrame([{**dict.fromkeys(columns.ITEMS), **row} for row in NEW])
    extended = recommender.extend(rows)
    events = pl.read_parquet(trained["features"] / "interactions.parquet")
    users = events[columns.USER].unique().sort().to_list()[:12]
    histories = from_events(events, recommender.item_index, user_ids=users, attributes={})
    wanted = extended.score(histories)
    for row, _ in enumerate(users):
        part = slice(int(histories.indptr[row]), int(histories.indptr[row + 1]))
        answer = ask(
            models,
            history=[recommender.item_ids[item] for item in histories.items[part]],
            history_positive=histories.positive[part].tolist(),
            allow=[str(item["item_id"]) for item in NEW],
            k=exports.CONFIG.max_k,
        )
        found = shown(answer)
        assert set(found) == {item["item_id"] for item in NEW}
        for item, score in found.items():
            gap = score - wanted[row, extended.item_index[item]]
            assert -1e-4 <= gap <= TIE + 1e-4
    # The order is not the same for everybody, so it is the user's taste that decides.
    tastes = wanted[:, [extended.item_index[str(item["item_id"])] for item in NEW]]
    assert len({tuple(np.argsort(-taste)) for taste in tastes}) > 1
