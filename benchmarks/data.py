"""Time and peak memory of ingest and validate: ``python -m benchmarks.data [--rows 5000000]``.

Without ``--rows`` MovieLens-100K is read, with it synthetic interactions of that number. Each stage
runs in a process of its own, so that its peak memory is its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from counterpoint.config import IngestConfig, ValidationConfig
from counterpoint.stages import ingest, validate

USERS_PER_ROW = 0.04
ITEMS_PER_ROW = 0.01
SECONDS = 10**8


def synthesise(folder: Path, rows: int, *, seed: int = 0) -> dict[str, Any]:
    """Write interactions and items as CSV; returns the configuration that reads them."""
    rng = np.random.default_rng(seed)
    users, items = max(int(rows * USERS_PER_ROW), 2), max(int(rows * ITEMS_PER_ROW), 2)
    pl.DataFrame(
        {
            "user_id": rng.integers(0, users, rows),
            "item_id": (items * rng.random(rows) ** 2).astype(np.int64),
            "rating": rng.integers(1, 6, rows),
            "timestamp": 1_600_000_000 + rng.integers(0, SECONDS, rows),
        }
    ).write_csv(folder / "interactions.csv")
    titles = [f"Item {item}" for item in range(items)]
    pl.DataFrame({"item_id": range(items), "title": titles}).write_csv(folder / "items.csv")
    options = {"folder": str(folder), "interactions": "interactions.csv", "items": "items.csv"}
    return {"dataset": "tables", "options": options}


def measure(stage: str, config: dict[str, Any], folder: Path) -> dict[str, float]:
    """Run one stage in its own process; returns seconds and peak megabytes."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.data", "--stage", stage, "--folder", str(folder),
         "--config", json.dumps(config)],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def run_stage(stage: str, config: dict[str, Any], folder: Path) -> None:
    """Run one stage here and print its figures as JSON."""
    start = time.perf_counter()
    if stage == "ingest":
        ingest.run(IngestConfig.model_validate(config), dataset=folder / "dataset")
    else:
        validate.run(ValidationConfig(), dataset=folder / "dataset", validated=folder / "validated")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(json.dumps({"seconds": round(time.perf_counter() - start, 1), "peak_mb": round(peak)}))


def main() -> None:
    """Measure both stages and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, help="synthetic interactions; default: MovieLens-100K")
    parser.add_argument("--stage", choices=["ingest", "validate"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--config", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        run_stage(options.stage, options.config, options.folder)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        config = synthesise(folder, options.rows) if options.rows else {"dataset": "movielens"}
        for stage in ("ingest", "validate"):
            figures = measure(stage, config, folder)
            print(f"{stage:9} {figures['seconds']:7.1f} s  peak {figures['peak_mb']:6.0f} MB")


if __name__ == "__main__":
    main()
