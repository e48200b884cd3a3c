"""Which of a user's events was the newest visible one: the point-in-time half of the history."""

from datetime import timedelta

from feast import FeatureView
from feast.data_source import DataSource

from counterpoint import feature_tables
from feature_repo._fields import fields
from feature_repo.entities import user


def view(source: DataSource) -> FeatureView:
    """Return the view over its source; a ttl of zero means that features never expire."""
    return FeatureView(
        name=feature_tables.USER_LAST_EVENT,
        entities=[user],
        ttl=timedelta(0),
        schema=fields(feature_tables.USER_LAST_EVENT),
        source=source,
        online=False,
    )
