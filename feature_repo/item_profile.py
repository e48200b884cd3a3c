"""Title, text, attributes and availability of an item."""

from datetime import timedelta

from feast import FeatureView
from feast.data_source import DataSource

from counterpoint import feature_tables
from feature_repo._fields import fields
from feature_repo.entities import item


def view(source: DataSource) -> FeatureView:
    """Return the view over its source; a ttl of zero means that features never expire."""
    return FeatureView(
        name=feature_tables.ITEM_PROFILE,
        entities=[item],
        ttl=timedelta(0),
        schema=fields(feature_tables.ITEM_PROFILE),
        source=source,
        online=True,
    )
