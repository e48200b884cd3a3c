"""Extension point: one source of data a file.

A data set has ``class Config(Section)`` and ``read(config, *, cache, staging) -> Source``.
"""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from counterpoint import plugins
from counterpoint.config.faults import explain
from counterpoint.datasets._source import Source
from counterpoint.errors import ConfigError

__all__ = ["Source", "read"]


def read(name: str, options: dict[str, Any], *, cache: Path, staging: Path) -> Source:
    """Open a data set by the name of its plugin.

    Args:
        name: Module of this package.
        options: Of the plugin.
        cache: Folder of downloaded assets.
        staging: Folder for intermediate files; must outlive the returned lazy tables.

    Raises:
        ConfigError: Unknown plugin or options; lists every fault and the known names.
        DataError: The files cannot be read or lack needed columns.
    """
    plugin = plugins.load(__name__, name)
    try:
        config = plugin.Config.model_validate(options)
    except ValidationError as error:
        raise ConfigError(explain(error, plugin.Config, where="ingest.options")) from None
    source: Source = plugin.read(config, cache=cache, staging=staging)
    return source
