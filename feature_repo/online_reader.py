"""Reads a user's features straight from the online store: what the front asks on every request.

Feast's own ``get_online_features`` resolves service, views, entities and types anew in each call
and answers in protobuf, which is then turned into JSON: milliseconds. Here that is resolved once
per data version, and a call is one ``online_read`` of the online store for each view.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from feast import FeatureStore, FeatureView
from feast.protos.feast.types.Value_pb2 import Value

from counterpoint.errors import SetupError
from feature_repo.store import user_key

_LISTS: Final = frozenset({"string_list_val", "int64_list_val", "bool_list_val"})
_SCALARS: Final = frozenset({"string_val", "int64_val", "bool_val"})
_TYPES: Final = frozenset(f"Array({name})" for name in ("String", "Int64", "Bool")) | frozenset(
    {"String", "Int64", "Bool"}
)

Row = list[Any] | None
"""Values in the order of ``OnlineReader.names``, or nothing for a user whom the store lacks."""


@dataclass(frozen=True)
class _Read:
    view: FeatureView
    features: list[str]


class OnlineReader:
    """The features of one feature service by user id.

    Args:
        store: The feature store. A reader in a thread of its own needs a store of its own.
        service: Name of the service. Its views must have the user as their only key, and features
            that never expire, of strings, integers, flags and lists of these.

    Raises:
        SetupError: There is no such service, or it needs what only Feast's own route can do.
    """

    def __init__(self, store: FeatureStore, service: str) -> None:
        known = {found.name: found for found in store.list_feature_services()}
        if service not in known:
            raise SetupError(
                f"The feature store has no service {service!r}; it has "
                f"{', '.join(sorted(known))}. Set deploy.feature_service to one of them."
            )
        views = {view.name: view for view in store.list_feature_views()}
        self._reads: list[_Read] = []
        for projection in known[service].feature_view_projections:
            view = views.get(projection.name)
            kinds = {str(feature.dtype) for feature in projection.features}
            if (
                view is None
                or view.entities != ["user"]
                or projection.join_key_map
                or view.ttl not in (None, timedelta(0))
                or not kinds <= _TYPES
            ):
                raise SetupError(
                    f"Service {service!r} holds view {projection.name!r}, which is not one of "
                    f"plain features of a user that never expire. Ask POST /get-online-features."
                )
            self._reads.append(_Read(view, [feature.name for feature in projection.features]))
        self.names: list[str] = [name for read in self._reads for name in read.features]
        self._config = store.config
        self._provider = store._get_provider()
        self._async = bool(self._provider.async_supported.online.read)

    async def read(self, user_ids: Sequence[str], names: Sequence[str] = ()) -> list[Row]:
        """Return a row for each user.

        A local store is read at once (it takes microseconds); a remote one is awaited.

        Args:
            user_ids: Who is wanted.
            names: Features that are wanted, in the order of a row; none: all, as in ``names``.
        """
        keys = [user_key(user) for user in user_ids]
        parts = []
        for one in self._reads:
            # Redis appends to the list of features that it is given.
            features = [name for name in one.features if not names or name in names]
            asked = (self._config, one.view, keys, features or [*one.features])
            if self._async:
                parts.append(await self._provider.online_read_async(*asked))
            else:
                parts.append(self._provider.online_read(*asked))
        places = {name: n for n, read in enumerate(self._reads) for name in read.features}
        wanted = [(places[name], name) for name in names or self.names]
        return [_row([part[key][1] for part in parts], wanted) for key in range(len(keys))]


def _row(found: Sequence[dict[str, Value] | None], wanted: Sequence[tuple[int, str]]) -> Row:
    if not any(found):
        return None
    return [_native((found[place] or {}).get(name)) for place, name in wanted]


def _native(value: Value | None) -> Any:
    kind = None if value is None else value.WhichOneof("val")
    if kind in _LISTS:
        return list(getattr(value, kind).val)
    if kind is None or kind == "null_val":
        return None
    if kind in _SCALARS:
        return getattr(value, kind)
    raise TypeError(f"The online store holds a value of kind {kind}, which its view does not name.")
