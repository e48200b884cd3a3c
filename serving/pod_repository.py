"""Gives a Triton pod its model repository: the versions of the rollout, else those of the registry.

Runs as an init container: ``python -m serving.pod_repository --config counterpoint.yaml --into
/models/repository --version "$VERSION"``. A pod keeps its versions for life (serving/rollout.py
replaces the pods), so that replicas of one rollout always serve the same. The graphs of all
versions go into the repository under their numbers; what the fronts read goes beside it, into
``/models/live``.
"""

import argparse
import logging
import time
from collections.abc import Callable
from pathlib import Path

from counterpoint import config as configuration
from counterpoint.config import DeployConfig
from serving import repository
from serving.model_options import options as model_options
from serving.payloads import Payloads
from serving.pointers import Pointers
from serving.registry import Registry

logger = logging.getLogger(__name__)

POLL_S = 10.0


def fetch(
    config: DeployConfig,
    into: Path,
    *,
    version: str = "",
    sleep: Callable[[float], None] = time.sleep,
) -> Pointers:
    """Write the model repository in the cluster form; wait until there is a champion.

    Args:
        config: Registry and feature server.
        into: Model repository to write; the live folder lies beside it.
        version: What to serve, as serving/rollout.py writes it (a version, or JSON); empty: what
            the registry says.
        sleep: Waits between two looks at the registry.

    Returns:
        What was written.

    Raises:
        ConfigError: There is no such champion.
        DataError: The champion is damaged or incomplete.
    """
    registry = Registry(config.registry)
    wanted = Pointers.parse(version) if version else registry.pointers()
    while wanted is None:
        logger.info("The registry %s has no champion yet; waiting.", config.registry)
        sleep(POLL_S)
        wanted = registry.pointers()
    live = into.parent / "live"
    live.mkdir(parents=True, exist_ok=True)
    desired, errors = Payloads(registry, live, form="cluster").desire(wanted)
    for name, error in errors.items():
        logger.error("Version %s is left out: %s", name, error)
    for entry in desired.entries:
        with registry.open(entry.version) as folder:
            if entry is not desired.champion:
                repository.add_number(folder, into, number=entry.number)
                continue
            repository.write(
                folder,
                into,
                form="cluster",
                number=entry.number,
                options=model_options(config, entry.version),
                live=live,
            )
    desired.write(live)
    logger.info("Wrote %s to %s.", wanted.text(), into)
    return wanted


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
