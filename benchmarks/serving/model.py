"""What is measured: the champion or a model trained for the benchmark, and its feature store."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from counterpoint.config import Config
from counterpoint.errors import DataError
from counterpoint.point_in_time import PlainFeatures
from counterpoint.stages import export, features, ingest, train
from feature_repo import retrieve, state
from serving import repository
from serving.registry import Registry

logger = logging.getLogger(__name__)

SCRATCH = Path("var/benchmarks/serving")
"""Kept for the next time."""


@contextmanager
def version(config: Config, scratch: Path = SCRATCH) -> Iterator[tuple[str, Path]]:
    """Give name and folder of the champion; without one, train on MovieLens-100K once.

    Args:
        config: Registry, data set and training settings.
        scratch: Folder of the trained model, kept for the next time.
    """
    registry = Registry(config.deploy.registry)
    champion = registry.champion()
    if champion is not None:
        with registry.open(champion.version) as folder:
            yield champion.version, folder
        return
    onnx = scratch / "version" / "onnx"
    if not onnx.is_dir():
        logger.info("The registry has no champion: training a model for the benchmark")
        ingest.run(config.ingest, dataset=scratch / "dataset")
        features.run(
            config.features,
            validated=scratch / "dataset",
            features=scratch / "features",
            open_source=lambda tables: PlainFeatures(tables, config.features.history_length),
        )
        train.run(config.train, features=scratch / "features", model=scratch / "model")
        _export(config, scratch)
    try:
        repository.check(onnx.parent)
    except DataError as error:
        logger.info("%s Exporting it again", error)
        _export(config, scratch)
    yield "benchmark", onnx.parent


def _export(config: Config, scratch: Path) -> None:
    export.run(
        config.export,
        model=scratch / "model",
        features=scratch / "features",
        onnx=scratch / "version" / "onnx",
    )


def feature_state(config: Config, scratch: Path = SCRATCH) -> Path:
    """Return a published feature store: the configured one, else one of the benchmark's data.

    Args:
        config: Data set and feature settings.
        scratch: Folder of the store, kept for the next time.
    """
    configured = Path(config.features.state)
    if state.current(configured) is not None:
        return configured
    own = scratch / "feast"
    if state.current(own) is None:
        logger.info("No feature store was published: materialising one for the benchmark")
        if not (scratch / "dataset").is_dir():
            ingest.run(config.ingest, dataset=scratch / "dataset")
        settings = config.features.model_copy(update={"state": str(own)})
        with tempfile.TemporaryDirectory(prefix="counterpoint-features-") as folder:
            retrieve.run_features(
                settings, validated=scratch / "dataset", features=Path(folder) / "features"
            )
    return own
