"""The front's user lookup against a real Feast feature server."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from counterpoint import columns, tables, user_snapshot
from feature_repo import opening, services, state
from feature_repo.retrieve import run_features
from serving.known_users import KnownUsers
from serving.server import FREE_PORTS, choose
from tests.counterpoint import logs


@pytest.mark.slow
def test_known_users_come_from_the_feature_server(tmp_path: Path) -> None:
    read = logs.tables(logs.random_rows(1, seconds=100_000))
    tables.write(read, tmp_path / "validated")
    config = logs.config(state=str(tmp_path / "feast state"))
    run_features(config, validated=tmp_path / "validated", features=tmp_path / "features")
    current = tmp_path / "feast state" / state.CURRENT
    online = opening.load(current).online(logs.STRANGE_USERS)
    index = {item: n for n, item in enumerate(read.interactions[columns.ITEM].unique(), 1)}
    user_snapshot.write(tmp_path / "users.sqlite", [])
    port = choose(FREE_PORTS).http
    options = {
        "feature_server": f"127.0.0.1:{port}",
        "feature_service": services.RECOMMENDER,
        "feature_timeout": "30",
    }
    feast = Path(sys.executable).with_name("feast")
    with (tmp_path / "server.log").open("w") as log:
        server = subprocess.Popen(
            [feast, "-c", current, "serve", "--host", "127.0.0.1", "--port", str(port)],
            stdout=log,
            stderr=log,
        )
    try:
        degraded = {"not yet"}
        end = time.monotonic() + 120
        while degraded and time.monotonic() < end:
            assert server.poll() is None, (tmp_path / "server.log").read_text()
            time.sleep(0.5)
            users = KnownUsers(tmp_path, options, index)
            known, degraded = users.get([*logs.STRANGE_USERS, "nobody"])
    finally:
        server.terminate()
        server.wait(30)
    assert degraded == set()
    with_features = {
        row[columns.USER]: row
        for row in online.iter_rows(named=True)
        if row[columns.HISTORY] or row[columns.ATTRIBUTES]
    }
    assert set(known) == set(with_features)
    for user, row in with_features.items():
        assert known[user].items == [index[item] for item in row[columns.HISTORY]]
        assert known[user].positive == row[columns.HISTORY_POSITIVE]
        assert known[user].attributes == row[columns.ATTRIBUTES]
