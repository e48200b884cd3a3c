from counterpoint.config import Config
from pipelines.live_source import with_live_items


def test_a_pipeline_takes_the_deployed_store_unless_told_otherwise() -> None:
    given = Config.model_validate({"deploy": {"live_items": "x.sqlite"}})
    assert with_live_items(given).ingest.live_items == "x.sqlite"
    assert with_live_items(with_live_items(given)).ingest.live_items == "x.sqlite"
    kept = Config.model_validate({"ingest": {"live_items": None}})
    assert with_live_items(kept).ingest.live_items is None
    dumped = Config.model_validate(with_live_items(given).model_dump(mode="json"))
    assert with_live_items(dumped).ingest.live_items == "x.sqlite"


def test_they_come_from_the_server_where_one_keeps_them() -> None:
    deploy = {"live_items": "copy.sqlite", "live_items_server": "live-items:6567"}
    given = Config.model_validate({"deploy": deploy})
    assert with_live_items(given).ingest.live_items == "http://live-items:6567"
