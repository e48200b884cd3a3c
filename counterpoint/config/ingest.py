"""Where the data come from and what counts as positive."""

from typing import Any

from pydantic import Field

from counterpoint.config.base import Section


class IngestConfig(Section):
    """Source of the data set."""

    dataset: str = "movielens"
    """Plugin of counterpoint/datasets: ``movielens``, ``tables``, …"""

    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the plugin (its own strict ``Config`` checks them): paths, column map, positives."""

    cache: str = "var/assets"
    """Folder of downloaded assets."""
