"""How soon a pushed event counts, and what a lookup costs: ``python -m benchmarks.serving.live``.

Starts a feature server over the feature store of ``features.state`` and a tritonserver that asks
it. Each event is pushed by the command `counterpoint push-event`, as a person or a cron job would,
and by ``POST /events`` on an open connection, as a service would; then `recommend` is asked until
its answer leaves the pushed item out. The time runs from the call to that answer. Lookups are asked
one after the other over the front's own client. Needs a published feature store
(`counterpoint run training` leaves one). Writes ``live.md`` and ``live.json``.
"""

import argparse
import http.client
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.serving.model import version
from counterpoint import artifacts, tables
from counterpoint import config as configuration
from counterpoint.config import Config
from counterpoint.errors import CounterpointError
from counterpoint.user_snapshot import UserSnapshot
from serving import repository
from serving.client import RecommendClient
from serving.feature_connection import Connection
from serving.feature_process import FeatureServerProcess
from serving.feature_server import FEATURES, FeatureServer
from serving.server import TritonServer

K: Final = 10
TIMEOUT: Final = 10.0


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.live", description=__doc__)
    parser.add_argument("--events", type=int, default=30, help="events for each way of pushing")
    parser.add_argument("--lookups", type=int, default=3000)
    parser.add_argument("--set", nargs="*", default=[], help="section.key=value overrides")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    try:
        config = configuration.load(overrides=given.set)
        with tempfile.TemporaryDirectory(prefix="counterpoint-live-") as scratch:
            result = measure(config, Path(scratch), events=given.events, lookups=given.lookups)
    except CounterpointError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    given.results.mkdir(parents=True, exist_ok=True)
    tables.write_json(given.results / "live.json", result)
    page = markdown(result)
    (given.results / "live.md").write_text(page, "utf-8")
    print(page)
    return 0


def measure(config: Config, scratch: Path, *, events: int, lookups: int) -> dict[str, Any]:
    """Start both servers and measure lookups, then pushes; returns figures and facts."""
    state = Path(config.features.state)
    load = os.getloadavg()[0]
    with (
        version(config, Path("var/benchmarks/serving")) as (name, folder),
        FeatureServerProcess(state, port=0, log=scratch / "features.log") as features,
        _front(config, name, folder, features.address, scratch) as client,
    ):
        users = _users(folder / "onnx" / artifacts.USERS_SNAPSHOT)
        rows = [
            lookup(features.address, config.deploy.feature_service, users, lookups, plain=plain)
            for plain in (False, True)
        ]
        before = _cpu_of_children()
        rows.append(freshness(client, users[:events], by_command(features.address), "command"))
        cpu = (_cpu_of_children() - before) / events
        with by_request(features.address) as push:
            rows.append(freshness(client, users[events : 2 * events], push, "POST /events"))
    facts = {
        "cpus": os.cpu_count(),
        "load_average": round(load, 1),
        "users": len(users),
        "command_cpu_seconds": round(cpu, 3),
    }
    return {"figures": rows, "facts": facts}


def _cpu_of_children() -> float:
    """CPU seconds of the ended programs: unlike the time taken, no other work adds to it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def _front(
    config: Config, name: str, folder: Path, address: str, scratch: Path
) -> Iterator[RecommendClient]:
    environment = Path(config.deploy.triton_env).absolute()
    options = {
        "version": name,
        "feature_server": address,
        "feature_service": config.deploy.feature_service,
        "feature_timeout": str(config.deploy.feature_timeout),
    }
    models = scratch / "models"
    repository.write(
        folder, models, form="local", number=1, options=options, environment=environment
    )
    server = TritonServer(models, environment=environment, log=scratch / "triton.log")
    with server, RecommendClient(server.url, timeout=TIMEOUT) as client:
        yield client


def _users(snapshot: Path) -> list[str]:
    store = UserSnapshot(snapshot)
    with closing(store):
        return [user.user_id for user in store if len(user.items)]


def lookup(
    address: str, service: str, users: Sequence[str], count: int, *, plain: bool
) -> dict[str, Any]:
    """Measure lookups of one user each, over the cheap route or over Feast's own."""
    server = FeatureServer(address, service=service, timeout=TIMEOUT)
    if plain:
        connection = Connection(address)
        connection.post("/users", b"{}", time.monotonic() + TIMEOUT)
        connection.plain = True
        server._idle.append(connection)
    taken = []
    for number in range(count):
        started = time.perf_counter()
        found = server.get([users[number % len(users)]])
        taken.append((time.perf_counter() - started) * 1e3)
        assert len(next(iter(found.values()))) >= len(FEATURES)
    route = "POST /get-online-features" if plain else "POST /users"
    return _figures(f"lookup of one user, {route}", taken)


def by_command(address: str) -> Callable[[str, str], None]:
    """Return a way to push: the command line."""
    command = [sys.executable, "-m", "pipelines.cli", "push-event", "--url", f"http://{address}"]

    def push(user: str, item: str) -> None:
        subprocess.run(
            [*command, "--user", user, "--item", item], check=True, stdout=subprocess.DEVNULL
        )

    return push


@contextmanager
def by_request(address: str) -> Iterator[Callable[[str, str], None]]:
    """Give a way to push: a request on an open connection."""
    from pipelines.pushing import _post

    with closing(http.client.HTTPConnection(address, timeout=TIMEOUT)) as connection:

        def push(user: str, item: str) -> None:
            _post(connection, address, [{"user_id": user, "item_id": item}], 0)

        yield push


def freshness(
    client: RecommendClient, users: Sequence[str], push: Callable[[str, str], None], how: str
) -> dict[str, Any]:
    """Push each user's best item and wait until `recommend` leaves it out."""
    taken, first = [], 0
    for user in users:
        before = client.recommend(user=user, k=K)
        if before.degraded or not before.items:
            raise CounterpointError(f"The answer for user {user} is degraded or empty.")
        best = before.items[0].item_id
        started = time.perf_counter()
        push(user, best)
        asked = 1
        while best in {item.item_id for item in client.recommend(user=user, k=K).items}:
            asked += 1
        taken.append((time.perf_counter() - started) * 1e3)
        first += asked == 1
    counted = f"event pushed by {how}, until an answer counts it"
    return _figures(counted, taken) | {"in_first_answer": first}


def _figures(what: str, milliseconds: Sequence[float]) -> dict[str, Any]:
    p50, p99 = np.percentile(milliseconds, [50, 99])
    return {
        "what": what,
        "count": len(milliseconds),
        "p50_ms": round(float(p50), 2),
        "p99_ms": round(float(p99), 2),
        "max_ms": round(max(milliseconds), 2),
    }


def markdown(result: Mapping[str, Any]) -> str:
    """Return the results as a page."""
    facts = result["facts"]
    rows = []
    for f in result["figures"]:
        first = f"{f['in_first_answer']} of {f['count']}" if "in_first_answer" in f else ""
        times = f"{f['p50_ms']:.1f} | {f['p99_ms']:.1f} | {f['max_ms']:.1f}"
        rows.append(f"| {f['what']} | {f['count']} | {times} | {first} |")
    return "\n".join(
        [
            "# Live features",
            "",
            f"Feature server, tritonserver and caller on the same {facts['cpus']} CPUs, load "
            f"average {facts['load_average']} at the start; {facts['users']} users. The command "
            f"takes {facts['command_cpu_seconds']:.2f} s of CPU, nearly all of it imports.",
            "",
            "| what | count | p50 ms | p99 ms | max ms | counted by the first answer |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
            *rows,
            "",
            "Reproduce: `.venv/bin/python -m benchmarks.serving.live`",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
