"""Where the data come from and what counts as positive."""

import re
from datetime import datetime
from typing import Any

from pydantic import Field, field_validator, model_validator

from counterpoint.config.base import Section

RESERVED = ("text", "attributes")
"""Parts of an item that are no modality of their own."""


class ModalityConfig(Section):
    """Vectors that were computed of the items beforehand: of images, of audio, of anything."""

    path: str
    """Parquet file, a pattern or a folder of such files, or a folder of ``<item_id>.npy`` files;
    relative to the working directory."""

    item_id: str | None = None
    """Parquet: column of the ids; none: found by its common names."""

    column: str | None = None
    """Parquet: column of the vectors; none: the only one that holds lists of numbers."""

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, value: Any) -> Any:
        """A path in place of a section: ``image: images.parquet``."""
        return {"path": value} if isinstance(value, str) else value


class IngestConfig(Section):
    """Source of the data set."""

    dataset: str = "movielens"
    """Plugin of counterpoint/datasets: ``movielens``, ``amazon``, ``tables``, …"""

    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the plugin, checked by its own ``Config``: paths, column map, positives."""

    modalities: dict[str, ModalityConfig] = Field(default_factory=dict)
    """Name, such as ``image`` -> vectors of the items (docs/data.md)."""

    until: datetime | None = None
    """Read only the events before this instant (ISO 8601, UTC unless it says otherwise): a model as
    it would have been then, to be compared with what came later."""

    cache: str = "var/assets"
    """Folder of downloaded assets."""

    live_items: str | None = None
    """Live items that are merged into the items: a file, of which one that does not exist yet holds
    none, or ``http://host:port`` of their server. A pipeline takes ``deploy.live_items``, or
    ``deploy.live_items_server``, where this is not given."""

    @field_validator("modalities")
    @classmethod
    def _names(cls, value: dict[str, ModalityConfig]) -> dict[str, ModalityConfig]:
        for name in value:
            if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name) or name in RESERVED:
                raise ValueError(
                    f"modality {name!r} must be small letters, digits and _ (at most 32) and none "
                    f"of {', '.join(RESERVED)}, for example image"
                )
        return value
