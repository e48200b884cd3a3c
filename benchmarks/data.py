"""Time and peak memory of ingest and validate: ``python -m benchmarks.data [--rows 5000000]``.

Without ``--rows`` MovieLens-100K is read, with it synthetic interactions of that number, as plain
tables or in the layout of MovieLens (.csv) or Amazon Reviews (.jsonl.gz). Each stage runs in a
process of its own, so that its peak memory is its own.
"""

import argparse
import gzip
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
WORDS = 60
"""Of a synthetic review and of a description."""


def synthesise(folder: Path, rows: int, layout: str, *, seed: int = 0) -> dict[str, Any]:
    """Write interactions and items; returns the configuration that reads them."""
    rng = np.random.default_rng(seed)
    users, items = max(int(rows * USERS_PER_ROW), 2), max(int(rows * ITEMS_PER_ROW), 2)
    events = pl.DataFrame(
        {
            "user_id": rng.integers(0, users, rows),
            "item_id": (items * rng.random(rows) ** 2).astype(np.int64),
            "rating": rng.integers(1, 6, rows),
            "timestamp": 1_600_000_000 + rng.integers(0, SECONDS, rows),
        }
    )
    titles = [f"Item {item}" for item in range(items)]
    described = pl.DataFrame({"item_id": range(items), "title": titles})
    if layout == "amazon":
        return _amazon(folder, events, described)
    if layout == "movielens":
        names = {"user_id": "userId", "item_id": "movieId"}
        events.rename(names).write_csv(folder / "ratings.csv")
        films = described.rename({"item_id": "movieId"}).with_columns(
            pl.col("title") + " (1999)", genres=pl.lit("Drama|Comedy")
        )
        films.write_csv(folder / "movies.csv")
        return {"dataset": "movielens", "options": {"path": str(folder)}}
    events.write_csv(folder / "interactions.csv")
    described.write_csv(folder / "items.csv")
    options = {"folder": str(folder), "interactions": "interactions.csv", "items": "items.csv"}
    return {"dataset": "tables", "options": options}


def _amazon(folder: Path, events: pl.DataFrame, items: pl.DataFrame) -> dict[str, Any]:
    """Files of the release of 2023, with texts of a usual length."""
    words = "word " * WORDS
    with gzip.open(folder / "Books.jsonl.gz", "wt", compresslevel=1) as file:
        for user, item, rating, time_ in events.iter_rows():
            review = {
                "rating": float(rating), "title": "A review", "text": words, "images": [],
                "asin": f"B{item:09}", "parent_asin": f"B{item:09}", "user_id": f"A{user:027}",
                "timestamp": time_ * 1000, "helpful_vote": 0, "verified_purchase": True,
            }  # fmt: skip
            file.write(json.dumps(review) + "\n")
    with gzip.open(folder / "meta_Books.jsonl.gz", "wt", compresslevel=1) as file:
        for item, title in items.iter_rows():
            product = {
                "main_category": "Books", "title": title, "average_rating": 4.5,
                "features": ["[bound]", "new"], "description": [words], "price": 12.5,
                "store": f"Press {item % 99}", "categories": ["Books", f"Shelf {item % 50}"],
                "parent_asin": f"B{item:09}",
            }  # fmt: skip
            file.write(json.dumps(product) + "\n")
    return {"dataset": "amazon", "options": {"path": str(folder)}}


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
    parser.add_argument(
        "--layout", choices=["tables", "movielens", "amazon"], default="tables", help="of --rows"
    )
    parser.add_argument("--stage", choices=["ingest", "validate"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--config", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        run_stage(options.stage, options.config, options.folder)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        config: dict[str, Any] = {"dataset": "movielens"}
        if options.rows:
            config = synthesise(folder, options.rows, options.layout)
        for stage in ("ingest", "validate"):
            figures = measure(stage, config, folder)
            print(f"{stage:9} {figures['seconds']:7.1f} s  peak {figures['peak_mb']:6.0f} MB")


if __name__ == "__main__":
    main()
