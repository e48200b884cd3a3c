import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from counterpoint import artifacts, columns, tables
from counterpoint.config import MonitorConfig
from counterpoint.errors import DataError, SetupError
from counterpoint.monitoring import audit
from counterpoint.monitoring import reference as stored
from counterpoint.stages import monitor
from counterpoint.stages.monitor import MonitorResult
from tests.counterpoint.monitoring.stream import ITEMS, Taste, stream, taken
from tests.counterpoint.monitoring.test_alerts import receiver

NOW = datetime(2026, 11, 22, tzinfo=UTC)


class Place:
    """Folders of one monitored data set; ``tastes`` is what the users like after the reference."""

    def __init__(self, folder: Path, *, tastes: tuple[float, ...] = (1, 1, 1)) -> None:
        self.folder = folder
        data = stream(users=500, tastes=tastes)
        self.reference = folder / "reference"
        stored.save(taken(stream(users=500)), self.reference)
        tables.write(data, folder / "data")
        tables.write_json(folder / "data" / artifacts.DATASET, {"name": "sessions"})

    def run(self, *, now: datetime = NOW, champion: Any = None, **settings: Any) -> MonitorResult:
        config = {
            "window_days": 18,
            "min_events": 100,
            "draws": 500,
            "alpha": 0.05,
            "evidently_rows": 0,
            "state": str(self.folder / "state"),
        }
        return monitor.run(
            MonitorConfig.model_validate(config | settings),
            interactions=self.folder / "data",
            reference=self.reference,
            model=None,
            monitoring=self.folder / "monitoring",
            champion=champion or Taste(ITEMS),
            now=now,
        )

    def verdict(self) -> dict[str, Any]:
        content: dict[str, Any] = tables.read_json(
            self.folder / "monitoring" / artifacts.MONITORING_VERDICT
        )
        return content

    def page(self) -> str:
        return (self.folder / "monitoring" / artifacts.REPORT).read_text("utf-8")


@pytest.fixture
def calm(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def moved(tmp_path: Path) -> Place:
    return Place(tmp_path, tastes=(1, 0, 0))


def test_a_window_like_the_reference_is_ok(calm: Place) -> None:
    result = calm.run()
    assert (result.verdict, result.figures["drifted"]) == ("ok", 0)
    assert {s["name"] for s in calm.verdict()["signals"]} == {
        "value",
        "items",
        "popularity",
        "item_genre",
        "user_plan",
        "hour",
        "weekday",
        "activity",
        "item_text",
        "unknown_users",
        "unknown_items",
        "quality",
        "score",
        "calibration",
    }
    assert result.figures["realised_ndcg"] > 0.3


def test_users_of_another_taste_are_drift(moved: Place) -> None:
    result = moved.run()
    assert result.verdict == "retrain"
    drifted = {s["name"] for s in moved.verdict()["signals"] if s["drifted"]}
    assert {"items", "item_genre", "item_text"} <= drifted
    # The taste is still served well, and nothing happened to the users' plans or the calendar.
    assert not drifted & {"quality", "user_plan", "hour", "weekday", "unknown_users"}
    assert any(reason.startswith("item_genre") for reason in result.reasons)


def test_a_model_that_fails_on_the_window_is_retrained(calm: Place) -> None:
    rows = pl.read_parquet(calm.folder / "data" / artifacts.INTERACTIONS)
    after = pl.col(columns.TIMESTAMP) > stored.load(calm.reference).end
    ids = pl.Series(ITEMS)
    mixed = pl.col(columns.ITEM).replace_strict(ids, ids.shuffle(seed=1))
    rows = rows.with_columns(pl.when(after).then(mixed).otherwise(columns.ITEM).alias(columns.ITEM))
    rows.write_parquet(calm.folder / "data" / artifacts.INTERACTIONS)
    result = calm.run()
    assert result.verdict == "retrain"
    assert any(reason.startswith("quality") for reason in result.reasons)


def test_new_items_are_found(calm: Place) -> None:
    path = calm.folder / "data" / artifacts.INTERACTIONS
    rows = pl.read_parquet(path)
    after = pl.col(columns.TIMESTAMP) > stored.load(calm.reference).end
    fresh = after & (pl.col(columns.ROW) % 3 == 0)
    item = pl.when(fresh).then("new " + pl.col(columns.ITEM)).otherwise(columns.ITEM)
    rows.with_columns(item.alias(columns.ITEM)).write_parquet(path)
    calm.run()
    [signal] = [s for s in calm.verdict()["signals"] if s["name"] == "unknown_items"]
    assert signal["drifted"]
    assert (signal["reference"], signal["current"]) == pytest.approx((0, 1 / 3), abs=0.05)


def test_too_few_new_events_say_nothing(calm: Place) -> None:
    result = calm.run(min_events=100_000)
    assert result.verdict == "insufficient_data"
    assert "100000 events of 30 users are needed" in result.reasons[0]
    end = stored.load(calm.reference).end
    old = calm.run(window_end=(end - timedelta(days=1)).isoformat())
    assert (old.verdict, old.figures["events"]) == ("insufficient_data", 0)
    assert "insufficient data" in calm.page()


def test_without_a_model_the_data_alone_are_judged(moved: Place) -> None:
    result = monitor.run(
        MonitorConfig(
            window_days=18, min_events=100, evidently_rows=0, state=str(moved.folder / "state")
        ),
        interactions=moved.folder / "data",
        reference=moved.reference,
        model=None,
        monitoring=moved.folder / "monitoring",
    )
    assert result.verdict == "retrain"
    assert moved.verdict()["not_measured"] == dict.fromkeys(
        ("quality", "score", "calibration"), "no model was given"
    )


def test_a_model_of_another_version_is_refused(calm: Place) -> None:
    with pytest.raises(DataError, match="not the one the reference was taken from"):
        calm.run(champion=Taste(ITEMS, sign=-1))
    assert audit.read(calm.folder / "state") == []


def test_the_second_retraining_waits_for_the_cool_down(moved: Place) -> None:
    assert moved.run().verdict == "retrain"
    held = moved.run(now=NOW + timedelta(hours=1))
    assert (held.verdict, held.wanted) == ("drift", "retrain")
    assert moved.run(now=NOW + timedelta(hours=25)).verdict == "retrain"
    log = audit.read(moved.folder / "state")
    assert [record["verdict"] for record in log] == ["retrain", "drift", "retrain"]
    assert all("item_text" in record["drifted"] for record in log)
    assert "held back" in log[1]["reasons"][-1]


def test_only_one_run_decides(calm: Place) -> None:
    with audit.one_at_a_time(calm.folder / "state"), pytest.raises(SetupError, match="locked"):
        calm.run()


def test_the_alert_reaches_a_real_receiver(moved: Place) -> None:
    with receiver([200]) as (url, got):
        result = moved.run(webhook=f"{url}/api/v2/alerts")
    assert result.alert.sent
    [(_, _, [alert])] = got
    assert alert["labels"]["dataset"] == "sessions"
    assert "item_text" in alert["annotations"]["description"]
    assert moved.verdict()["alert"]["sent"]


def test_an_alert_that_is_not_delivered_stops_nothing_and_is_seen(moved: Place) -> None:
    with receiver([400]) as (url, _):
        result = moved.run(webhook=url)
    assert result.verdict == "retrain"
    assert result.figures["alert_sent"] == 0
    assert moved.verdict()["alert"]["detail"] == "127.0.0.1: status 400"
    assert "not sent" in moved.page()


def test_equal_inputs_give_equal_verdicts(moved: Place) -> None:
    moved.run(cooldown_hours=0)
    first = moved.verdict()
    moved.run(cooldown_hours=0)
    assert moved.verdict() == first


def test_the_report_is_one_page_with_evidently_inside(moved: Place) -> None:
    moved.run(evidently_rows=400)
    page = moved.page()
    outside = re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=[\"']?https?:[^>]*>", page)
    assert outside == []
    assert page.count("<iframe") == 2
    assert "Data Drift Summary" in page or "data_drift" in page.lower()
    for name in ("retrain", "item_text", "unknown_items", "Title 3"):
        assert name in page


def test_markup_in_the_data_stays_text(calm: Place) -> None:
    path = calm.folder / "data" / artifacts.ITEMS
    items = pl.read_parquet(path)
    evil = pl.lit("<script>alert(1)</script>").alias(columns.TITLE)
    items.with_columns(evil).write_parquet(path)
    calm.run()
    assert "<script>alert" not in calm.page()
    assert "&lt;script&gt;" in calm.page()


def test_window_json_holds_the_shares_of_both_sides(moved: Place) -> None:
    moved.run()
    content = tables.read_json(moved.folder / "monitoring" / artifacts.WINDOW)
    genres = {one["name"]: one for one in content["shares"]["item_genre"]}
    assert genres["0"]["current"] > 0.5 > genres["0"]["reference"]
    for side in ("reference", "current"):
        assert sum(one[side] for one in genres.values()) == pytest.approx(1)


def test_events_without_values_attributes_or_users_are_monitored(calm: Place) -> None:
    source = calm.folder / "data"
    rows = pl.read_parquet(source / artifacts.INTERACTIONS)
    bare = tables.Tables(
        rows.with_columns(
            pl.lit(None, dtype=pl.Float64).alias(columns.VALUE),
            pl.lit(None, dtype=pl.String).alias(columns.EVENT),
        ),
        columns.ITEMS.to_frame(),
        columns.USERS.to_frame(),
    )
    tables.write(bare, source)
    other = calm.folder / "bare"
    stored.save(taken(bare), other)
    calm.reference = other
    result = calm.run(evidently_rows=200)
    assert result.verdict == "ok"
    names = {s["name"] for s in calm.verdict()["signals"]}
    assert "positive" in names
    assert not names & {"value", "event", "item_genre", "user_plan"}


@pytest.mark.parametrize("missing", ["reference.json", "events.parquet"])
def test_a_damaged_reference_is_named(calm: Place, missing: str) -> None:
    (calm.reference / missing).unlink()
    with pytest.raises(DataError, match=re.escape(missing)):
        calm.run()


def test_a_reference_of_another_format_is_refused(calm: Place) -> None:
    path = calm.reference / "reference.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(DataError, match="format 99"):
        calm.run()


def test_a_reference_is_written_once_and_read_back(tmp_path: Path) -> None:
    reference = taken(stream())
    stored.save(reference, tmp_path / "reference")
    again = stored.load(tmp_path / "reference")
    assert again.summary == json.loads(json.dumps(reference.summary))
    assert again.events.equals(reference.events)
    assert again.items.equals(reference.items)
    assert again.quality is not None and reference.quality is not None
    assert again.quality.equals(reference.quality)
    with pytest.raises(DataError, match="not empty"):
        stored.save(reference, tmp_path / "reference")
    assert [p.name for p in tmp_path.iterdir()] == ["reference"]


def test_a_missing_table_and_an_empty_one_are_named(calm: Place) -> None:
    path = calm.folder / "data" / artifacts.INTERACTIONS
    pl.read_parquet(path).clear().write_parquet(path)
    with pytest.raises(DataError, match="no interactions to monitor"):
        calm.run()
    path.unlink()
    with pytest.raises(DataError, match=r"lacks interactions\.parquet"):
        calm.run()
