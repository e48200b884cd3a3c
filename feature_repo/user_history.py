"""The newest history of a user: serving reads it online, fresh events are pushed onto it.

Its past is ``user_last_event`` joined with ``event_history``; a test holds both equal.
"""

from datetime import timedelta

from feast import FeatureView, PushSource

from counterpoint import feature_tables
from feature_repo._fields import fields
from feature_repo.entities import user

HISTORY_LENGTH_TAG = "history_length"


def view(source: PushSource, history_length: int) -> FeatureView:
    """Return the view; its tag tells whoever pushes how long a history may become."""
    return FeatureView(
        name=feature_tables.USER_HISTORY,
        entities=[user],
        ttl=timedelta(0),
        schema=fields(feature_tables.USER_HISTORY),
        source=source,
        online=True,
        tags={HISTORY_LENGTH_TAG: str(history_length)},
    )
