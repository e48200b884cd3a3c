"""Gives a Triton pod its model repository: the version of the rollout, else the champion.

Runs as an init container: ``python -m serving.pod_repository --config counterpoint.yaml --into
/models --version "$VERSION"``. A pod keeps its version for life (serving/rollout.py replaces the
pods), so that replicas of one rollout always serve one version.
"""

import argparse
import logging
import time
from collections.abc import Callable
from pathlib import Path

from counterpoint import config as configuration
from counterpoint.config import DeployConfig
from serving import repository
from serving.registry import Registry
from serving.serve import options as model_options

logger = logging.getLogger(__name__)

POLL_S = 10.0


def fetch(
    config: DeployConfig,
    into: Path,
    *,
    version: str = "",
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Write the model repository of a version in the cluster form; wait until there is a champion.

    Args:
        config: Registry and feature server.
        into: Model repository to write.
        version: Version to serve; empty: the champion.
        sleep: Waits between two looks at the registry.

    Returns:
        The version that was written.

    Raises:
        ConfigError: There is no such version.
        DataError: The version is damaged or incomplete.
    """
    registry = Registry(config.registry)
    while not version:
        champion = registry.champion()
        if champion is not None:
            version = champion.version
            break
        logger.info("The registry %s has no champion yet; waiting.", config.registry)
        sleep(POLL_S)
    with registry.open(version) as folder:
        repository.write(
            folder,
            into,
            form="cluster",
            number=registry.get(version).number,
            options=model_options(config, version),
        )
    logger.info("Wrote version %s to %s.", version, into)
    return version


def main(arguments: list[str] | None = None) -> None:
    """Command line of the init container."""
    parser = argparse.ArgumentParser(description=fetch.__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("--version", default="")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    fetch(configuration.load([options.config]).deploy, options.into, version=options.version)


if __name__ == "__main__":
    main()
