"""The version that is measured: the champion, or a model trained for the benchmark."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from counterpoint.config import Config
from counterpoint.point_in_time import PlainFeatures
from counterpoint.stages import export, features, ingest, train
from serving.registry import Registry

logger = logging.getLogger(__name__)


@contextmanager
def version(config: Config, scratch: Path) -> Iterator[tuple[str, Path]]:
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
        export.run(config.export, model=scratch / "model", features=scratch / "features", onnx=onnx)
    yield "benchmark", onnx.parent
