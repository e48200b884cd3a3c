"""One run of the stages on a world of images, for the tests of stages, serving and commands."""

from pathlib import Path

import polars as pl

from counterpoint import columns
from counterpoint.config import Config
from counterpoint.point_in_time import PlainFeatures
from counterpoint.stages import export, features, ingest, train, validate
from tests.counterpoint import image_worlds, toys
from tests.counterpoint.stages.test_export import tiny_encoder

WITHOUT = ("i7", "i11")
"""Items that have no image."""


def write_shop(folder: Path) -> None:
    """The files that a shop would have: two tables of text and one of vectors."""
    folder.mkdir()
    world = image_worlds.world()
    world.interactions.select(columns.USER, columns.ITEM, columns.TIMESTAMP).write_csv(
        folder / "events.csv"
    )
    world.items.select(columns.ITEM, columns.TITLE).write_csv(folder / "items.csv")
    images = image_worlds.images().filter(~pl.col(columns.ITEM).is_in(WITHOUT))
    other = pl.DataFrame({columns.ITEM: ["unknown", "i7"], columns.VECTOR: [[1.0] * 12, None]})
    kept = pl.concat([images, other.cast(columns.VECTORS)])
    kept.rename({columns.ITEM: "sku", columns.VECTOR: "clip"}).write_parquet(
        folder / "images.parquet"
    )


def config(root: Path, **ingest_options: object) -> Config:
    shop = root / "shop"
    model = toys.small_config(
        encoder={"model": str(tiny_encoder(root / "enc")), "cache": str(root), "max_tokens": 8},
        fit={"epochs": 1, "min_steps": 6, "batch_size": 32, "checkpoints": str(root / "c")},
    )
    return Config.model_validate(
        {
            "ingest": {
                "dataset": "tables",
                "options": {
                    "interactions": str(shop / "events.csv"),
                    "items": str(shop / "items.csv"),
                },
                "modalities": {"image": {"path": str(shop / "images.parquet"), "column": "clip"}},
                **ingest_options,
            },
            "features": {"examples_per_user": 3, "split": {"protocol": "per_user"}},
            "train": model.model_dump(mode="json"),
            "evaluate": {"baselines": {"popularity": {}}, "resamples": 100},
            "export": {"max_k": 12, "parity_users": 20},
        }
    )


def run(root: Path) -> dict[str, Path]:
    """Run all stages to the checked graph; return their folders and the root."""
    write_shop(root / "shop")
    settings = config(root)
    stages = ("dataset", "validated", "features", "model", "evaluation", "onnx")
    folder = {name: root / name for name in stages}
    ingest.run(settings.ingest, dataset=folder["dataset"])
    validate.run(settings.validation, **{n: folder[n] for n in ("dataset", "validated")})
    features.run(
        settings.features,
        validated=folder["validated"],
        features=folder["features"],
        open_source=lambda read: PlainFeatures(read, 64),
    )
    train.run(settings.train, features=folder["features"], model=folder["model"])
    export.run(settings.export, **{n: folder[n] for n in ("model", "features", "onnx")})
    return folder | {"root": root}
