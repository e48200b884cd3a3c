"""Where the front finds a known user: the feature server when there is one, else the snapshot."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from counterpoint.user_snapshot import StoredUser, UserSnapshot
from serving.feature_server import FeatureServer, FeatureServerDown


class KnownUsers:
    """Looks users up.

    Args:
        folder: Holds ``users.sqlite``, the snapshot shipped with the version.
        options: ``feature_server`` (host:port, may be empty), ``feature_service``,
            ``feature_timeout`` (seconds).
        index: item id -> one-based catalogue index.
    """

    def __init__(self, folder: Path, options: Mapping[str, str], index: Mapping[str, int]) -> None:
        self._snapshot = UserSnapshot(folder / "users.sqlite")
        self._index = index
        address = options.get("feature_server", "")
        self._server = (
            FeatureServer(
                address,
                service=options["feature_service"],
                timeout=float(options["feature_timeout"]),
            )
            if address
            else None
        )

    def get(self, user_ids: Sequence[str]) -> tuple[dict[str, StoredUser], bool]:
        """Return the users that are known, and whether the answer is degraded.

        Degraded: a feature server is configured but did not answer, so the (older) snapshot did.
        """
        if not user_ids:
            return {}, False
        degraded = False
        if self._server is not None:
            try:
                rows = self._server.get(user_ids)
                return {user: self._decode(user, row) for user, row in rows.items()}, False
            except FeatureServerDown:
                degraded = True
        found = {user: self._snapshot.get(user) for user in user_ids}
        return {user: stored for user, stored in found.items() if stored is not None}, degraded

    def _decode(self, user: str, row: Mapping[str, object]) -> StoredUser:
        ids = _list(row.get("history"))
        flags = _list(row.get("history_positive"))
        events = [
            (self._index[str(item)], bool(flag))
            for item, flag in zip(ids, flags, strict=True)
            if item in self._index
        ]
        return StoredUser(
            user,
            [item for item, _ in events],
            [flag for _, flag in events],
            [str(token) for token in _list(row.get("attributes"))],
        )


def _list(value: object) -> list[object]:
    """Feast gives a list as such; a store without lists gives its JSON text."""
    if value is None:
        return []
    if isinstance(value, str):
        return list(json.loads(value))
    if isinstance(value, list):
        return value
    raise TypeError(f"a list was expected, got {value!r}")
