"""The feature server over a real Redis, as on a cluster (needs `redis-server` on the PATH)."""

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from counterpoint.tables import Tables
from tests.counterpoint import logs
from tests.feature_repo.publishing import publish
from tests.feature_repo.server.test_app import by_feast, event, push, serving, users

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="there is no redis-server"),
]
STORE = """
project: counterpoint
provider: local
registry: {registry_type: file, path: "${STATE}/registry.db"}
offline_store: {type: duckdb}
online_store: {type: redis, connection_string: "127.0.0.1:${TEST_REDIS_PORT},password=secret"}
entity_key_serialization_version: 3
"""


@pytest.fixture
def redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["subprocess.Popen[bytes]"]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    monkeypatch.setenv("TEST_REDIS_PORT", port)
    command = ["redis-server", "--port", port, "--bind", "127.0.0.1", "--requirepass", "secret"]
    running = subprocess.Popen([*command, "--save", "", "--dir", str(tmp_path)])
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with socket.socket() as connection:
            if connection.connect_ex(("127.0.0.1", int(port))) == 0:
                break
        time.sleep(0.05)
    yield running
    running.kill()
    running.wait()


@pytest.fixture
def root(redis: object, source: Tables, tmp_path: Path) -> Path:
    config = tmp_path / "redis.yaml"
    config.write_text(STORE)
    state = tmp_path / "state"
    publish(state, "first", source, config=config)
    return state


def test_it_answers_merges_and_recovers(root: Path, redis: "subprocess.Popen[bytes]") -> None:
    asked = [*logs.STRANGE_USERS, "new"]

    async def work() -> None:
        async with serving(root) as client:
            # Late and repeated events: Redis itself drops a write that is not newer.
            for second in (3, 1, 5, 0, 4, 2, 1):
                await push(client, event("new", f"i{second}", second))
            (row,) = await users(client, "new")
            assert row["history"] == [f"i{n}" for n in range(6)]
            rows = await users(client, *asked)
            nothing = dict.fromkeys(next(row for row in rows if row))
            assert [row or nothing for row in rows] == await by_feast(client, *asked)
            assert not (root / "pushed.jsonl").exists()
            redis.kill()
            redis.wait()
            assert (await client.get("/health")).status_code == 503
            assert (await client.get("/live")).status_code == 200

    asyncio.run(work())


def test_several_servers_lose_no_event(root: Path) -> None:
    async def work() -> None:
        async with serving(root) as one, serving(root) as two, serving(root) as three:
            clients = (one, two, three)
            sent = [
                push(clients[second % 3], event("new", f"i{second}", second)) for second in range(6)
            ]
            await asyncio.gather(*sent)
            (row,) = await users(one, "new")
            assert row["history"] == [f"i{n}" for n in range(6)]

    asyncio.run(work())
