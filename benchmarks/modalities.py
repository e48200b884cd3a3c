"""What a modality is worth on MovieLens-100K: ``python -m benchmarks.modalities --seeds 2``.

There are no images, so the vectors of the titles stand in for them (they do tell what people like),
and random numbers for vectors that say nothing.
"""

import argparse
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from counterpoint import columns, tables, trial_data, vector_tables
from counterpoint.config import Config, load
from counterpoint.isolation import isolated
from counterpoint.text_vectors import text_vectors
from counterpoint.trials import Trial, model_trial

NAME = "image"
PROTOCOLS = ("cold_items", "per_user")
NO_TEXT = "train.encoder.model=null"
VARIANTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "attributes": ("none", (NO_TEXT,)),
    "attributes, text": ("none", ()),
    "attributes, the text's vectors as a modality": ("text", (NO_TEXT,)),
    "attributes, text, the same vectors again as a modality": ("text", ()),
    "attributes, text, random numbers as a modality": ("noise", ()),
}
"""Row of the table -> vectors of the items, and settings."""


def with_vectors(plain: Path, folder: Path, vectors: npt.NDArray[np.float32] | None) -> Path:
    """Copy a folder of tables, with vectors of the items in the order of their table."""
    shutil.copytree(plain, folder)
    if vectors is not None:
        ids = tables.read(plain).items[columns.ITEM].to_list()
        frame = {columns.ITEM: ids, columns.VECTOR: vectors.tolist()}
        made = pl.DataFrame(frame, schema=columns.VECTORS)
        made.write_parquet(vector_tables.path(folder, NAME))
    return folder


def trial(folder: Path, config: Config) -> Trial:
    """Train and judge once; run in a process of its own."""
    return model_trial("model", trial_data.TrialData(folder, config.features.split), config)


def main() -> None:
    """Print a row for each variant: NDCG@10 of each protocol by seed, and what was left out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--budget", type=float, default=0.0, help="train.choices.budget_seconds")
    parser.add_argument("--only", default="", help="rows whose name holds this text")
    asked = parser.parse_args()
    base = ["ingest.dataset=movielens", f"train.choices.budget_seconds={asked.budget}"]
    settings = load(overrides=base)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        plain = trial_data.read_source(settings, root)
        items = tables.read(plain).items
        text = text_vectors(items, items[columns.ITEM].to_list(), settings.train.encoder)
        noise = np.random.default_rng(0).standard_normal(text.shape).astype(np.float32)
        given = {"none": None, "text": text, "noise": noise}
        folders = {n: with_vectors(plain, root / f"with {n}", v) for n, v in given.items()}
        print(f"| items have | {' | '.join(PROTOCOLS)} |\n| --- | --- | --- |", flush=True)
        for name, (vectors, overrides) in VARIANTS.items():
            if asked.only not in name:
                continue
            cells = []
            for protocol in PROTOCOLS:
                values = []
                for seed in range(asked.seeds):
                    split = f"features.split.protocol={protocol}"
                    own = [split, f"features.split.item_seed={seed}", f"train.seed={seed}"]
                    config = load(overrides=[*base, *overrides, *own])
                    found = isolated(trial, folders[vectors], config)
                    weights = found.report["choices"].get("modalities of new items", {})
                    left_out = " (left out for new items)" if 0.0 in weights.values() else ""
                    values.append(f"{found.values['ndcg']:.4f}{left_out}")
                cells.append(", ".join(values))
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
