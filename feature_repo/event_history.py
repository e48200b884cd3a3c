"""The history up to and including one event, named by ``user_last_event``: training reads it."""

from datetime import timedelta

from feast import FeatureView
from feast.data_source import DataSource

from counterpoint import feature_tables
from feature_repo._fields import fields
from feature_repo.entities import history


def view(source: DataSource) -> FeatureView:
    """Return the view over its source; a ttl of zero means that features never expire."""
    return FeatureView(
        name=feature_tables.EVENT_HISTORY,
        entities=[history],
        ttl=timedelta(0),
        schema=fields(feature_tables.EVENT_HISTORY),
        source=source,
        online=False,
    )
