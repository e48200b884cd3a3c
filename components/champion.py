"""The champion of the registry, as the steps see it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from counterpoint.config import DeployConfig
from counterpoint.errors import DataError
from serving.registry import Registry


@contextmanager
def champion_folder(config: DeployConfig) -> Iterator[Path | None]:
    """Give the verified folder of the version in service, or None before the first deployment."""
    registry = Registry(config.registry)
    champion = registry.champion()
    if champion is None:
        yield None
        return
    with registry.open(champion.version) as folder:
        yield folder


def need_champion(folder: Path | None) -> Path:
    """Return the folder.

    Raises:
        DataError: There is no champion to compare with.
    """
    if folder is None:
        raise DataError(
            "The registry has no champion yet, so there is nothing to monitor. Run 'counterpoint "
            "run training' first."
        )
    return folder
