"""Opens the feature store of a folder: fills in the store configuration and loads it."""

import os
import re
from pathlib import Path
from typing import Any, Final

import yaml
from feast import FeatureStore
from feast.errors import FeastError
from feast.repo_config import FeastConfigError, load_repo_config

from counterpoint.errors import ConfigError, SetupError
from feature_repo.store import FeatureRepository

STORE_FILE: Final = "feature_store.yaml"
STORES: Final = Path(__file__).parent / "stores"


def find_store_config(name: str) -> Path:
    """Find the file that ``features.store`` names, from the working folder or beside this package.

    Raises:
        ConfigError: There is no such file.
    """
    for candidate in (Path(name), STORES.parents[1] / name):
        if candidate.is_file():
            return candidate
    known = ", ".join(sorted(f"feature_repo/stores/{file.name}" for file in STORES.glob("*.yaml")))
    raise ConfigError(
        [f"features.store = {name!r} is not a file. Known: {known}; or name one of your own."]
    )


def create(folder: Path, store_config: Path) -> FeatureRepository:
    """Write the folder's ``feature_store.yaml`` from a store configuration and open it.

    Args:
        folder: Folder of one data version.
        store_config: YAML with ``${STATE}`` for the folder. Other ``${NAMES}`` stay as they are, so
            that secrets are read from the environment whenever the store is opened.

    Raises:
        ConfigError: The YAML is not a Feast configuration.
        SetupError: A package or an environment variable of the configured stores is missing.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        tree = yaml.safe_load(store_config.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            [f"Store configuration {store_config} cannot be read: {error}"]
        ) from error
    if not isinstance(tree, dict):
        raise ConfigError([f"Store configuration {store_config} must hold a mapping."])
    text = yaml.safe_dump(_fill(tree, str(folder)), sort_keys=False, allow_unicode=True)
    partial = folder / f".{STORE_FILE}"
    partial.write_text(text, "utf-8")
    os.replace(partial, folder / STORE_FILE)
    return load(folder)


def load(folder: Path) -> FeatureRepository:
    """Open the feature store that a folder's ``feature_store.yaml`` describes.

    Raises:
        ConfigError: The file is not a Feast configuration.
        SetupError: The file, or a package or an environment variable it needs, is missing.
    """
    file = folder.resolve() / STORE_FILE
    if not file.is_file():
        raise SetupError(
            f"There is no feature store in {folder} ({STORE_FILE} is missing). Run the stage "
            "features first, or set features.state to the folder it wrote."
        )
    names = sorted(set(re.findall(r"\$\{(\w+)\}", file.read_text("utf-8"))) - set(os.environ))
    if names:
        raise SetupError(
            f"{file} needs the environment variables {', '.join(names)}, which are not set. "
            "Set them (on a cluster: from the secret of the feature store)."
        )
    try:
        config = load_repo_config(file.parent, file)
        return FeatureRepository(file.parent, FeatureStore(config=config))
    except FeastConfigError as error:
        raise ConfigError([f"{file} is not a Feast configuration: {error}"]) from error
    except (ImportError, FeastError) as error:
        cause = error.__cause__ or error
        raise SetupError(
            f"The stores of {file} cannot be opened: {error} ({cause}). Install the packages they "
            "need, for example pip install 'feast[spark,redis,postgres]'."
        ) from error


def _fill(node: Any, folder: str) -> Any:
    """Replace ``${STATE}`` in every string of a configuration tree."""
    if isinstance(node, dict):
        return {key: _fill(value, folder) for key, value in node.items()}
    if isinstance(node, list):
        return [_fill(value, folder) for value in node]
    return node.replace("${STATE}", folder) if isinstance(node, str) else node
