"""The features stage with the feature store: apply, retrieve point in time, materialise."""

from pathlib import Path

from counterpoint import feature_tables
from counterpoint.config import FeaturesConfig
from counterpoint.stages import features as stage
from counterpoint.stages.features import FeaturesResult
from counterpoint.tables import Tables
from feature_repo import state


def run_features(config: FeaturesConfig, *, validated: Path, features: Path) -> FeaturesResult:
    """Run the stage with Feast as the source of every feature, then make its state the current one.

    A second run on the same data reuses the feature tables; a run after a killed one builds them
    anew. The online store that serving reads changes only after everything else succeeded.

    Args:
        config: Split, examples, store configuration and state folder.
        validated: Folder of canonical tables.
        features: Folder to write, see counterpoint/artifacts.py.

    Raises:
        DataError: A table is missing, a fold would be empty, or the feature store lost a row or
            returned a feature from the future.
        ConfigError: ``features.store`` is not a usable store configuration.
        SetupError: A package or an environment variable of the stores is missing.
    """
    # Feast takes seconds to import; the command line imports this module for its help.
    from feature_repo import opening
    from feature_repo.store import TABLES, FeatureRepository, release_duckdb

    store_config = opening.find_store_config(config.store)
    root = Path(config.state)
    root.mkdir(parents=True, exist_ok=True)
    root = root.resolve()
    with state.locked(root, state.version(config, validated, store_config)) as folder:
        repositories: list[FeatureRepository] = []

        def open_source(tables: Tables) -> FeatureRepository:
            if not state.is_ready(folder):
                state.clear(folder)
                feature_tables.write(folder / TABLES, tables, history_length=config.history_length)
            repository = opening.create(folder, store_config)
            repository.apply(config.history_length)
            repositories.append(repository)
            return repository

        try:
            result = stage.run(
                config, validated=validated, features=features, open_source=open_source
            )
            if state.current(root) != folder:
                repositories[0].materialise()
                opening.write_serving_config(folder, root / state.CURRENT, store_config)
                state.publish(folder)
        finally:
            if repositories and repositories[0].store.config.offline_store.type == "duckdb":
                release_duckdb()
    state.prune(root, config.keep_states)
    return result
