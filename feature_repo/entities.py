"""What features are about."""

from feast import Entity, ValueType

from counterpoint import columns

user = Entity(name="user", join_keys=[columns.USER], value_type=ValueType.STRING)
item = Entity(name="item", join_keys=[columns.ITEM], value_type=ValueType.STRING)
history = Entity(
    name="history",
    join_keys=[columns.HISTORY_VERSION],
    value_type=ValueType.INT64,
    description="An immutable history of a user: everything up to and including one event",
)
