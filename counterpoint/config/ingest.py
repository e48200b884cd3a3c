"""Where the data come from and what counts as positive."""

from datetime import datetime
from typing import Any

from pydantic import Field

from counterpoint.config.base import Section


class IngestConfig(Section):
    """Source of the data set."""

    dataset: str = "movielens"
    """Plugin of counterpoint/datasets: ``movielens``, ``amazon``, ``tables``, …"""

    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the plugin, checked by its own ``Config``: paths, column map, positives."""

    until: datetime | None = None
    """Read only the events before this instant (ISO 8601, UTC unless it says otherwise): a model as
    it would have been then, to be compared with what came later."""

    cache: str = "var/assets"
    """Folder of downloaded assets."""

    live_items: str | None = None
    """File of live items that are merged into the items (``deploy.live_items``, which a pipeline
    takes where this is not given); one that does not exist yet holds none."""
