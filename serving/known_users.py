"""Where the front finds a known user: the feature server when there is one, else the snapshot."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from counterpoint.user_snapshot import StoredUser, UserSnapshot
from serving.feature_connection import NOTHING
from serving.feature_server import FeatureServer, FeatureServerDown

logger = logging.getLogger(__name__)


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

    def get(
        self, user_ids: Sequence[str], headers: Mapping[str, str] = NOTHING
    ) -> tuple[dict[str, StoredUser], set[str]]:
        """Return the users that are known, and those whose answer is degraded.

        The feature server is sent the headers (trace context) with the question.

        Degraded: a feature server is configured but gave nothing usable for the user. Then the
        (older) snapshot of the version is used; a user who is not in it either has what the
        request says: its history, else its attributes, else the start page.
        """
        if self._server is None or not user_ids:
            return self._frozen(user_ids), set()
        try:
            rows = self._server.get(user_ids, headers)
        except FeatureServerDown:
            return self._frozen(user_ids), set(user_ids)
        known, degraded = {}, set()
        for user, row in rows.items():
            try:
                known[user] = self._decode(user, row)
            except (ValueError, TypeError) as error:
                # Neither the id nor the error's text, which may quote it: logs hold no user ids.
                logger.warning("Features of a user do not fit the model: %s", type(error).__name__)
                degraded.add(user)
        return known | self._frozen(sorted(degraded)), degraded

    def _frozen(self, user_ids: Sequence[str]) -> dict[str, StoredUser]:
        found = {user: self._snapshot.get(user) for user in user_ids}
        return {user: stored for user, stored in found.items() if stored is not None}

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
