"""From adding an item to the first answer with it: ``python -m benchmarks.serving.new_items``.

Each round adds one item over gRPC (checked, encoded by the version's language model, written with
an fsync) and then asks `recommend` for it without a pause; the time ends with the first answer that
holds it (``allow`` names it, so that its rank does not count). The items are those of the data set
under new ids and titles. Then each is removed, and some are added by the command line, whose time
includes the start of its process.
"""

import argparse
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import polars as pl
import tritonclient.grpc as grpc

from benchmarks.serving.model import version
from counterpoint import artifacts, columns, tables
from counterpoint import config as configuration
from counterpoint.errors import CounterpointError
from serving import repository
from serving.live_items import LiveItemsClient
from serving.server import TritonServer

ROUNDS = 200
COMMANDS = 10
WARM_UP = 5


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.new_items")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--commands", type=int, default=COMMANDS)
    parser.add_argument("--set", nargs="*", default=[], help="section.key=value overrides")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        config = configuration.load(overrides=given.set)
        with version(config, Path("var/benchmarks/serving")) as (name, folder):
            figures = measure(config, name, folder, rounds=given.rounds, commands=given.commands)
    except CounterpointError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    given.results.mkdir(parents=True, exist_ok=True)
    tables.write_json(given.results / "new_items.json", figures)
    for what, row in figures.items():
        print(f"{what}: n {row['n']}, median {row['median_ms']} ms, max {row['max_ms']} ms")
    return 0


def measure(
    config: configuration.Config, name: str, folder: Path, *, rounds: int, commands: int
) -> dict[str, dict[str, float]]:
    """Return n, median and greatest milliseconds by what was measured."""
    items = pl.read_parquet(folder / "onnx" / artifacts.ITEMS)
    new = [
        {
            "item_id": f"new {number}",
            "title": f"{row[columns.TITLE]} again",
            "attributes": row[columns.ATTRIBUTES],
        }
        for number, row in enumerate(items.sample(rounds + WARM_UP, seed=0).iter_rows(named=True))
    ]
    with running(config, name, folder) as url, LiveItemsClient(url) as client:
        asker = grpc.InferenceServerClient(url)
        for item in new[:WARM_UP]:
            client.add([item])
            until(asker, item["item_id"], shown=True)
        added, removed = [], []
        for item in new[WARM_UP:]:
            added.append(timed(lambda i=item: client.add([i]), asker, item["item_id"], shown=True))
        for item in new[WARM_UP:]:
            name_ = item["item_id"]
            removed.append(timed(lambda n=name_: client.remove([n]), asker, name_, shown=False))
        called = []
        for number in range(commands):
            item = {"item_id": f"called {number}", "title": f"A new film, number {number}"}
            called.append(timed(lambda i=item: call(i, url), asker, item["item_id"], shown=True))
        asker.close()
    return {
        "client, added": summary(added),
        "client, removed": summary(removed),
        "counterpoint add-item": summary(called),
    }


def timed(change: Callable[[], Any], asker: Any, item: str, *, shown: bool) -> float:
    """Return the seconds from a change to the first answer that follows it."""
    started = time.perf_counter()
    change()
    until(asker, item, shown=shown)
    return time.perf_counter() - started


def until(asker: Any, item: str, *, shown: bool) -> None:
    """Ask for the item until it is, or is not, recommended."""
    inputs = []
    for name, value, kind in (
        ("allow", np.array([[item.encode()]], dtype=object), "BYTES"),
        ("k", np.array([[1]], dtype=np.int32), "INT32"),
    ):
        inputs.append(grpc.InferInput(name, list(value.shape), kind))
        inputs[-1].set_data_from_numpy(value)
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        answer = asker.infer("recommend", inputs, client_timeout=5).as_numpy("item_id")
        # An id that nobody knows allows nothing.
        if (item.encode() in answer.ravel().tolist()) == shown:
            return
    raise CounterpointError(f"{item!r} did not {'appear' if shown else 'go'} within 30 s.")


def call(item: dict[str, str], url: str) -> None:
    """Run the command line as a person does."""
    command = [sys.executable, "-m", "pipelines.cli", "add-item", "--url", url]
    given = ["--item-id", item["item_id"], "--title", item["title"]]
    subprocess.run([*command, *given], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def running(config: configuration.Config, name: str, folder: Path) -> Iterator[str]:
    """Serve the version with an empty store; give the server's address."""
    environment = Path(config.deploy.triton_env).absolute()
    with tempfile.TemporaryDirectory(prefix="counterpoint-benchmark-") as scratch:
        models, store = Path(scratch) / "models", Path(scratch) / "items.sqlite"
        repository.write(
            folder,
            models,
            form="local",
            number=1,
            options={"version": name, "live_items": str(store)},
            environment=environment,
        )
        with TritonServer(models, environment=environment, log=Path(scratch) / "log") as server:
            yield server.url


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Return n, median and greatest in milliseconds."""
    found = np.array(seconds) * 1e3
    return {
        "n": len(found),
        "median_ms": round(float(np.median(found)), 1),
        "max_ms": round(float(found.max()), 1),
    }


if __name__ == "__main__":
    sys.exit(main())
