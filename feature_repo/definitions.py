"""Everything that ``apply`` registers, for one folder of feature tables."""

from pathlib import Path

from feast.feast_object import FeastObject

from counterpoint import feature_tables as tables
from feature_repo import (
    entities,
    event_history,
    item_profile,
    item_statistics,
    services,
    sources,
    user_history,
    user_last_event,
    user_profile,
    user_statistics,
)


def definitions(folder: Path, offline_store: str, history_length: int) -> list[FeastObject]:
    """Return entities, sources, views and services over the feature tables in a folder."""
    batch = {table: sources.batch_source(table, folder, offline_store) for table in tables.SCHEMAS}
    push = sources.push_source(batch[tables.USER_HISTORY])
    views = [
        user_last_event.view(batch[tables.USER_LAST_EVENT]),
        event_history.view(batch[tables.EVENT_HISTORY]),
        user_history.view(push, history_length),
        user_profile.view(batch[tables.USER_PROFILE]),
        user_statistics.view(batch[tables.USER_STATISTICS]),
        item_profile.view(batch[tables.ITEM_PROFILE]),
        item_statistics.view(batch[tables.ITEM_STATISTICS]),
    ]
    return [
        entities.user,
        entities.item,
        entities.history,
        *batch.values(),
        push,
        *views,
        *services.services({view.name: view for view in views}),
    ]
