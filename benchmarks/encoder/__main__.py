"""Measure what training the text encoder gains and costs: ``python -m benchmarks.encoder``.

Parts: ``cold`` (new items, frozen against trained), ``pretraining`` (trained against masked
training first), ``precision`` (float32 against bfloat16), ``sparse`` (short histories, text against
none), ``objectives`` (each loss alone), ``speed`` and ``encode`` (beside sentence-transformers,
installed for it with ``pip install --no-deps sentence-transformers==6.2.0``). Writes
``benchmarks/encoder/results``.
"""

import argparse
import importlib.metadata
import os
import statistics
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from benchmarks.encoder import cold, objectives, page, sparse, speed
from benchmarks.quality.runs import prepare
from counterpoint import config as configuration
from counterpoint import tables
from counterpoint.config import Config
from counterpoint.errors import CounterpointError, SetupError
from counterpoint.isolation import isolated
from counterpoint.trial_store import TrialStore

HERE = Path(__file__).parent
DATA = Path("benchmarks/quality/data/movielens-100k.yaml")
FULL = Path("pipelines/configs/movielens-full.yaml")
PARTS = ("cold", "pretraining", "precision", "sparse", "objectives", "speed", "encode")
ARMS = {
    "cold": cold.trained_or_not,
    "pretraining": cold.pretrained_or_not,
    "precision": cold.exact_or_not,
}
BATCHES = ((256, 10), (4096, 1))
"""Pairs of a step, and how many steps."""

REPEATS = 3


def main() -> int:
    """Run the parts; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.encoder", description=__doc__)
    add = parser.add_argument
    add("--only", nargs="+", choices=PARTS, default=list(PARTS))
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="training seeds")
    add("--losses", nargs="+", choices=list(objectives.ARMS), default=list(objectives.ARMS))
    add("--resume", action="store_true", help="reuse the finished trials of earlier runs")
    add("--set", nargs="*", default=[], help="train.key=value overrides")
    add("--work", type=Path, default=Path("var/benchmarks/encoder"), help="tables and trials")
    add("--results", type=Path, default=HERE / "results")
    given = parser.parse_args()
    try:
        measure(given)
    except CounterpointError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def measure(given: argparse.Namespace) -> None:
    """Run the parts one after the other and write the page after each."""
    settings = configuration.load([DATA, FULL], given.set)
    digest = isolated(prepare, settings, given.work)
    folder = given.work / "tables"
    store = TrialStore(given.work / "trials", reuse=given.resume)
    target = given.results / "encoder.json"
    found: dict[str, Any] = tables.read_json(target) if target.is_file() else {}
    for part in given.only:
        if part in ARMS:
            row = cold.measure(ARMS[part](settings), folder, digest, store, seeds=given.seeds)
        elif part == "sparse":
            row = sparse.measure(settings, folder, seeds=given.seeds)
        elif part == "objectives":
            row = objectives.measure(settings, folder, seeds=given.seeds, arms=given.losses)
        else:
            row = (_speed if part == "speed" else _encode)(settings, folder)
        when = f"{datetime.now(UTC):%Y-%m-%d}, load average {os.getloadavg()[1]:.1f}"
        found[part] = row | {"seeds": given.seeds, "when": when}
        given.results.mkdir(parents=True, exist_ok=True)
        tables.write_json(target, found)
        (given.results / "encoder.md").write_text(page.markdown(found), "utf-8")
    print(page.markdown(found))


def _speed(settings: Config, folder: Path) -> dict[str, Any]:
    version = _version()
    rows = []
    for batch_size, steps in BATCHES:
        row: dict[str, Any] = {"batch_size": batch_size, "steps": steps}
        for name, side in (("ours", speed.ours), ("theirs", speed.theirs)):
            row[name] = isolated(side, settings, folder, batch_size, steps)
            print(f"{batch_size} pairs a step, {name}: {row[name]}", flush=True)
        ours, theirs = row["ours"], row["theirs"]
        row["ratio"] = theirs["seconds"] / ours["seconds"]
        row["ratio_prepared"] = theirs["seconds"] / (ours["seconds"] + ours["prepare_seconds"])
        rows.append(row)
    return {"rows": rows, "version": version}


def _encode(settings: Config, folder: Path) -> dict[str, Any]:
    version = _version()
    texts = isolated(speed.texts_of, folder)
    sides = {
        "SentenceTransformer.encode": (speed.encode_theirs, settings),
        "as configured by default": (speed.encode_ours, settings),
        "SentenceTransformer.encode, bfloat16": (
            speed.encode_theirs,
            speed.at(settings, "bfloat16"),
        ),
        "bfloat16": (speed.encode_ours, speed.at(settings, "bfloat16")),
        "float32": (speed.encode_ours, speed.at(settings, "float32")),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    vectors: dict[str, Any] = {}
    for _ in range(REPEATS):
        for name, (side, config) in sides.items():
            spent, vectors[name] = isolated(side, config, texts)
            seconds[name].append(spent)
    reference, *_ = sides
    base = statistics.median(seconds[reference])
    rows = {
        name: {
            "per_second": len(texts) / statistics.median(values),
            "ratio": base / statistics.median(values),
            "difference": float(abs(vectors[name] - vectors[reference]).max()),
        }
        for name, values in seconds.items()
    }
    return {"rows": rows, "texts": len(texts), "repeats": REPEATS, "version": version}


def _version() -> str:
    try:
        return importlib.metadata.version("sentence-transformers")
    except importlib.metadata.PackageNotFoundError:
        raise SetupError(
            "sentence-transformers is not installed. The parts speed and encode compare with it: "
            "pip install --no-deps sentence-transformers==6.2.0"
        ) from None


if __name__ == "__main__":
    sys.exit(main())
