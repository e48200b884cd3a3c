"""The routes, in this process: what they answer, and what happens when the data version changes."""

import asyncio
import errno
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from counterpoint import columns
from counterpoint.tables import Tables
from feature_repo import services
from feature_repo.server import app as routes
from feature_repo.server.app import App
from feature_repo.server.following import Following
from tests.counterpoint import logs
from tests.feature_repo.publishing import publish

USERS = [*logs.STRANGE_USERS, "nobody"]
LATER = "2020-02-01T00:00:{:02d}Z"


@pytest.fixture
def root(source: Tables, tmp_path: Path) -> Path:
    publish(tmp_path, "first", source)
    return tmp_path


@asynccontextmanager
async def serving(root: Path) -> AsyncIterator[httpx.AsyncClient]:
    following = Following(root)
    await following.start()
    transport = httpx.ASGITransport(App(following))
    async with httpx.AsyncClient(transport=transport, base_url="http://features") as client:
        yield client
    await following.stop()


def run(root: Path, work: Callable[[httpx.AsyncClient], Coroutine[Any, Any, None]]) -> None:
    async def inner() -> None:
        async with serving(root) as client:
            await work(client)

    asyncio.run(inner())


def event(user: str, item: str, second: int, positive: bool = True) -> dict[str, object]:
    return {
        "user_id": user,
        "item_id": item,
        "timestamp": LATER.format(second),
        "positive": positive,
    }


async def push(client: httpx.AsyncClient, *events: dict[str, object]) -> dict[str, Any]:
    answer = await client.post("/events", json={"events": list(events)})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def users(client: httpx.AsyncClient, *ids: str) -> list[dict[str, Any]]:
    asked = {"service": services.RECOMMENDER, "users": ids}
    answer = (await client.post("/users", json=asked)).json()
    return [row and dict(zip(answer["features"], row, strict=True)) for row in answer["users"]]


async def by_feast(client: httpx.AsyncClient, *ids: str) -> list[dict[str, Any]]:
    asked = {"feature_service": services.RECOMMENDER, "entities": {"user_id": ids}}
    answer = (await client.post("/get-online-features", json=asked)).json()
    names = answer["metadata"]["feature_names"]
    columns_ = [column["values"] for column in answer["results"]]
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns_, strict=True)]
    return [{n: v for n, v in row.items() if n != "user_id"} for row in rows]


def test_users_equals_feasts_own_route_before_and_after_pushes(root: Path) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        for second in range(3):
            rows = await users(client, *USERS, "pushed")
            nothing = dict.fromkeys(next(row for row in rows if row))
            assert [row or nothing for row in rows] == await by_feast(client, *USERS, "pushed")
            pushed = [event(user, f"i{second}", second) for user in (*USERS[:3], "pushed")]
            assert (await push(client, *pushed))["users_changed"] == 4
        chosen = ["attributes", "history"]
        asked = {"service": services.RECOMMENDER, "users": USERS, "features": chosen}
        answer = (await client.post("/users", json=asked)).json()
        assert answer["features"] == chosen
        full = await users(client, *USERS)
        assert answer["users"] == [row and [row[name] for name in chosen] for row in full]

    run(root, work)


def test_pushes_at_once_and_out_of_order_are_all_merged(root: Path) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        seconds = [3, 1, 5, 0, 4, 2]
        sent = [push(client, event("new", f"i{n}", n, n % 2 == 0)) for n in (*seconds, *seconds)]
        assert {answer["accepted"] for answer in await asyncio.gather(*sent)} == {1}
        (row,) = await users(client, "new")
        assert row["history"] == [f"i{n}" for n in range(6)]
        assert row["history_positive"] == [n % 2 == 0 for n in range(6)]
        answer = await push(client, event("new", "i1", 1), event("new", "strange", 9))
        assert answer["unknown_items"] == ["strange"]

    run(root, work)


def test_lookups_never_see_half_a_push(root: Path) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        pushing = asyncio.create_task(many(client))
        seen = set()
        while not pushing.done():
            await asyncio.sleep(0)  # in this process a lookup never waits by itself
            (row,) = await users(client, "new")
            if row:
                assert len(row["history"]) == len(row["history_positive"]) <= 6
                assert row["history_until"] == row["history_timestamps"][-1] + 1
                seen.add(row["history"][-1])
        await pushing
        assert len(seen) > 1

    async def many(client: httpx.AsyncClient) -> None:
        for second in range(20):
            await push(client, event("new", f"i{second}", second))

    run(root, work)


def test_a_new_data_version_is_followed_and_pushes_are_kept(root: Path, source: Tables) -> None:
    known = source.interactions.tail(1).row(0, named=True)

    async def work(client: httpx.AsyncClient) -> None:
        before = await users(client, *USERS)
        # One event that the next ingest brings as well, one that it misses.
        user = known[columns.USER]
        await push(client, event("01", "missed", 1), event(user, "brought", 2))
        brought = {
            **known,
            columns.ITEM: "brought",
            columns.ROW: 10_000,
            columns.TIMESTAMP: pl.Series([LATER.format(2)]).str.to_datetime(time_zone="UTC")[0],
            columns.POSITIVE: True,
        }
        more = pl.DataFrame([brought], schema=source.interactions.schema)
        log = pl.concat([source.interactions, more])
        publish(root, "second", Tables(log, source.items, source.users))
        for _ in range(100):
            health = (await client.get("/health")).json()
            if health["data_version"] == "second":
                break
            await asyncio.sleep(0.1)
        assert health == {
            "status": "ready",
            "data_version": "second",
            "newer_version_failed": None,
        }
        after = await users(client, *USERS)
        assert after == [row or None for row in await by_feast_or_none(client)]
        one = {user: row["history"] for user, row in zip(USERS, after, strict=True) if row}
        assert one["01"][-1] == "missed"
        assert one[user].count("brought") == 1
        assert before != after
        await push(client, event("01", "then", 3))
        assert (await users(client, "01"))[0]["history"][-2:] == ["missed", "then"]
        kept = (root / "pushed.jsonl").read_text().splitlines()
        assert json.loads(kept[0]) == {"version": "second"}
        # What the new tables hold need not be remembered.
        assert [json.loads(line)[1] for line in kept[1:]] == ["missed", "then"]

    async def by_feast_or_none(client: httpx.AsyncClient) -> list[dict[str, Any] | None]:
        rows = await by_feast(client, *USERS)
        return [row if any(v is not None for v in row.values()) else None for row in rows]

    run(root, work)


def test_a_broken_data_version_leaves_the_old_one(root: Path, source: Tables) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        before = await users(client, *USERS)
        folder = publish(root, "broken", source)
        (folder / "feature_store.yaml").write_text("project: [")
        for _ in range(100):
            health = (await client.get("/health")).json()
            if health["newer_version_failed"]:
                break
            await asyncio.sleep(0.1)
        assert health["data_version"] == "first" and "cannot be read" in str(health)
        assert await users(client, *USERS) == before

    run(root, work)


@pytest.mark.parametrize(
    ("path", "content", "status", "said"),
    [
        ("/users", b"{", 422, "body: not JSON"),
        ("/users", b"[]", 422, "body: must be an object"),
        ("/users", b'{"service": "x", "users": ["\\ud800"]}', 422, "users: a text has half"),
        ("/users", b"[" * 50_000, 422, "body: nested too deeply"),
        ("/users", b'{"users": ["1"]}', 422, "service: must be the name"),
        ("/users", b'{"service": "recommender_v1"}', 422, "users: must be a list"),
        ("/users", b'{"service": "recommender_v1", "users": []}', 422, "users: must hold 1 to"),
        ("/users", b'{"service": "recommender_v1", "users": [1]}', 422, "users: must be a list"),
        ("/users", b'{"service": "x", "users": ["1"]}', 404, "no service 'x'"),
        (
            "/users",
            b'{"service": "recommender_v1", "users": ["1"], "features": ["age"]}',
            422,
            "features: 'age' is not one of history",
        ),
        ("/events", b"{}", 422, "events: Field required"),
        ("/events", b" " * (routes.MOST_BYTES + 1), 413, "body: longer than"),
    ],
)
def test_bad_requests_name_the_field(
    root: Path, path: str, content: bytes, status: int, said: str
) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        answer = await client.post(path, content=content)
        assert answer.status_code == status
        assert answer.json()["error"].startswith(said) or said in answer.json()["error"]
        assert (await client.get("/health")).status_code == 200

    run(root, work)


def test_health_is_not_ready_when_the_store_fails(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        assert (await client.get("/live")).status_code == 200

        async def fails(*_: object) -> None:
            raise ConnectionError("gone")

        monkeypatch.setattr("feature_repo.online_reader.OnlineReader.read", fails)
        answer = await client.get("/health")
        assert answer.status_code == 503 and "gone" in answer.json()["error"]
        assert (await client.get("/live")).status_code == 200

    run(root, work)


def test_a_full_disk_refuses_events_with_a_sentence(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(self: Following, frame: pl.DataFrame) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def work(client: httpx.AsyncClient) -> None:
        (user,) = logs.STRANGE_USERS[:1]
        with monkeypatch.context() as patched:
            patched.setattr(Following, "push", full)
            answer = await client.post("/events", json={"events": [event(user, "i1", 1)]})
        assert answer.status_code == 503
        assert answer.json()["error"].startswith("The disk is full.")
        await push(client, event(user, "i1", 1))

    run(root, work)
