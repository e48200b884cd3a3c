import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from counterpoint import columns, tables
from counterpoint.point_in_time import USER_FEATURES
from feature_repo import opening, services, state
from feature_repo.retrieve import run_features
from tests.counterpoint import logs


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
def test_the_feature_server_answers_from_the_published_state(tmp_path: Path) -> None:
    tables.write(logs.tables(logs.random_rows(1, seconds=100_000)), tmp_path / "validated")
    config = logs.config(state=str(tmp_path / "feast state"))
    run_features(config, validated=tmp_path / "validated", features=tmp_path / "features")
    current = tmp_path / "feast state" / state.CURRENT
    users = [*logs.STRANGE_USERS, "nobody"]
    port = free_port()
    feast = Path(sys.executable).with_name("feast")
    with (tmp_path / "server.log").open("w") as log:
        server = subprocess.Popen(
            [feast, "-c", current, "serve", "--host", "127.0.0.1", "--port", str(port)],
            stdout=log,
            stderr=log,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(240):
            assert server.poll() is None, (tmp_path / "server.log").read_text()
            try:
                if httpx.get(f"{url}/health").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.25)
        answer = httpx.post(
            f"{url}/get-online-features",
            json={"feature_service": services.RECOMMENDER, "entities": {columns.USER: users}},
            timeout=30,
        ).json()
    finally:
        server.terminate()
        server.wait(30)
    served = dict(
        zip(
            answer["metadata"]["feature_names"],
            [column["values"] for column in answer["results"]],
            strict=True,
        )
    )
    online = opening.load(current).online(users)
    assert served[columns.USER] == users
    for name in USER_FEATURES:
        expected = online[name].to_list()
        assert [
            value or ([] if isinstance(expected[0], list) else None) for value in served[name]
        ] == (expected)
