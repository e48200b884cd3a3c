"""Which store of live items a pipeline merges (light: imports no kfp)."""

from counterpoint.config import Config


def with_live_items(config: Config) -> Config:
    """Let ingest merge the items that were added to the deployed catalogue.

    Only where ``ingest.live_items`` is not given: null keeps them out.
    """
    if "live_items" in config.ingest.model_fields_set:
        return config
    ingest = config.ingest.model_copy(update={"live_items": config.deploy.live_items})
    return config.model_copy(update={"ingest": ingest})
