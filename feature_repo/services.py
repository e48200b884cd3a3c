"""Feature services: which features a model version is trained on and asks for when it serves.

``recommender_v1`` and the two training services carry the same columns: the history comes online
from ``user_history`` and point in time from ``user_last_event`` and then ``event_history``.
"""

from typing import Final

from feast import FeatureService, FeatureView

from counterpoint import feature_tables

RECOMMENDER: Final = "recommender_v1"
TRAINING: Final = "recommender_v1_training"
TRAINING_HISTORY: Final = "recommender_v1_training_history"
CATALOGUE: Final = "catalogue_v1"
MONITORING_USERS: Final = "monitoring_users_v1"
MONITORING_ITEMS: Final = "monitoring_items_v1"

FEATURES: Final[dict[str, tuple[str, ...]]] = {
    RECOMMENDER: (feature_tables.USER_HISTORY, feature_tables.USER_PROFILE),
    TRAINING: (feature_tables.USER_LAST_EVENT, feature_tables.USER_PROFILE),
    TRAINING_HISTORY: (feature_tables.EVENT_HISTORY,),
    CATALOGUE: (feature_tables.ITEM_PROFILE,),
    MONITORING_USERS: (feature_tables.USER_STATISTICS,),
    MONITORING_ITEMS: (feature_tables.ITEM_STATISTICS,),
}
"""Service -> its feature views."""


def services(views: dict[str, FeatureView]) -> list[FeatureService]:
    """Return the services over the views by name."""
    return [
        FeatureService(name=name, features=[views[view] for view in used])
        for name, used in FEATURES.items()
    ]
