"""Which store of live items a pipeline merges (light: imports no kfp)."""

from counterpoint.config import Config
from counterpoint.live_exchange import PREFIX


def with_live_items(config: Config) -> Config:
    """Let ingest merge the items that were added to the deployed catalogue.

    Only where ``ingest.live_items`` is not given: null keeps them out. Where a server keeps them,
    they are read from it.
    """
    if "live_items" in config.ingest.model_fields_set:
        return config
    server = config.deploy.live_items_server
    source = f"{PREFIX}{server}" if server else config.deploy.live_items
    ingest = config.ingest.model_copy(update={"live_items": source})
    return config.model_copy(update={"ingest": ingest})
