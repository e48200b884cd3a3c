"""Opens the feature store of a folder: fills in the store configuration and loads it."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml
from feast import FeatureStore
from feast.errors import FeastError
from feast.repo_config import RepoConfig

from counterpoint.errors import ConfigError, SetupError
from feature_repo.store import FeatureRepository

STORE_FILE: Final = "feature_store.yaml"
_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")
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
    """Open the feature store of one data version.

    Args:
        folder: Folder of the data version.
        store_config: YAML with ``${STATE}`` for that folder; other ``${NAMES}`` come from the
            environment.

    Raises:
        ConfigError: The YAML is not a Feast configuration.
        SetupError: A package or an environment variable of the configured stores is missing.
    """
    folder = folder.resolve()
    return _open(folder, _fill(_read(store_config), {"STATE": str(folder)}), store_config)


def write_serving_config(folder: Path, current: Path, store_config: Path) -> None:
    """Write the folder's ``feature_store.yaml`` for the feature server and other readers.

    Its paths go through the link ``current``, so that a running server finds the registry of the
    next data version too. It names no offline store, since online features need none, and keeps
    ``${NAMES}``, so that no secret is written to disk.

    Args:
        folder: Folder of the data version.
        current: The link that will point to it.
        store_config: YAML of stores/.
    """
    link = current.parent.resolve() / current.name
    tree = _fill(_read(store_config), {"STATE": str(link)})
    tree.pop("offline_store", None)
    text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
    (folder / f".{STORE_FILE}").write_text(text, "utf-8")
    os.replace(folder / f".{STORE_FILE}", folder / STORE_FILE)


def load(current: Path) -> FeatureRepository:
    """Open the published feature store to read and push online features.

    Args:
        current: The link ``<features.state>/current``.

    Raises:
        ConfigError: Its ``feature_store.yaml`` is not a Feast configuration.
        SetupError: Nothing was published, or a package or environment variable is missing.
    """
    file = current / STORE_FILE
    if not file.is_file():
        raise SetupError(
            f"There is no feature store in {current} ({STORE_FILE} is missing). Run the stage "
            "features first, or set features.state to the folder it wrote."
        )
    return _open(current.resolve(), _read(file), file)


def _read(file: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError([f"Store configuration {file} cannot be read: {error}"]) from error
    if not isinstance(tree, dict):
        raise ConfigError([f"Store configuration {file} must hold a mapping of Feast settings."])
    return tree


def _open(folder: Path, tree: dict[str, Any], file: Path) -> FeatureRepository:
    missing = sorted(_names(tree) - set(os.environ))
    if missing:
        raise SetupError(
            f"{file} needs the environment variables {', '.join(missing)}, which are not set. "
            "Set them (on a cluster: from the Secret of the feature store)."
        )
    try:
        config = RepoConfig(**_fill(tree, dict(os.environ)), repo_path=folder)
        return FeatureRepository(folder, FeatureStore(config=config))
    except (ImportError, FeastError) as error:
        raise SetupError(
            f"The stores of {file} cannot be opened: {error} ({error.__cause__ or 'no cause'}). "
            "Install the packages they need, for example pip install 'feast[spark,redis]'."
        ) from error
    except (TypeError, ValueError) as error:
        raise ConfigError([f"{file} is not a Feast configuration: {error}"]) from error


def _strings(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict | list):
        for child in node.values() if isinstance(node, dict) else node:
            yield from _strings(child)


def _names(tree: dict[str, Any]) -> set[str]:
    """Names of the environment variables that a configuration asks for."""
    return {name for text in _strings(tree) for name in _VARIABLE.findall(text)}


def _fill(node: Any, replacements: dict[str, str]) -> Any:
    """Replace ``${NAME}`` in every string of a configuration tree; unknown names stay."""
    if isinstance(node, dict):
        return {key: _fill(value, replacements) for key, value in node.items()}
    if isinstance(node, list):
        return [_fill(value, replacements) for value in node]
    if isinstance(node, str):
        return _VARIABLE.sub(lambda found: replacements.get(found[1], found[0]), node)
    return node
