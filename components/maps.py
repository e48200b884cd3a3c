"""The embedding map as a page for the Kubeflow UI."""

from pathlib import Path

from counterpoint.config import TrainConfig

OFF = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Embedding map</title>
<p>No map: <code>train.report.map_items</code> is 0.</p></html>
"""


def map_page(model: Path, config: TrainConfig, path: str) -> None:
    """Draw the item vectors of a model folder.

    Args:
        model: Model folder.
        config: How many items, and the seed.
        path: HTML file to write.
    """
    from counterpoint import embedding_map
    from counterpoint.recommender import Recommender

    if not config.report.map_items:
        Path(path).write_text(OFF, "utf-8")
        return
    found = embedding_map.draw(
        Recommender.load(model), max_items=config.report.map_items, seed=config.seed
    )
    embedding_map.write(found, Path(path))
