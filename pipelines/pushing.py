"""Posts interactions to the feature server. Light imports: an event must count within a second."""

import http.client
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from counterpoint.errors import ConfigError, DataError, ServerError

BLOCK: Final = 1_000
"""Events in one request."""

_COLUMNS: Final = ("user_id", "item_id", "timestamp", "positive")
_TIMEOUT_HINT: Final = "Start one with `counterpoint feature-server`, or name another with --url."


def instant(text: str) -> str:
    """Check an ISO 8601 time and return it with its zone (UTC where it has none).

    Raises:
        ConfigError: It is none.
    """
    try:
        stamp = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            [f"--at {text!r} is not an ISO 8601 time. Give for example 2026-01-31T12:00:00Z."]
        ) from None
    return stamp.replace(tzinfo=stamp.tzinfo or UTC).isoformat()


def read(path: Path) -> list[dict[str, Any]]:
    """Return the events of a file (CSV, JSON lines, Parquet).

    Raises:
        DataError: It cannot be read, a needed column is missing, or a value is.
    """
    # Imported here: polars takes a third of a second, and a single event needs none of it.
    import polars as pl

    readers: dict[str, Any] = {
        ".csv": lambda file: pl.read_csv(
            file, schema_overrides={"user_id": pl.String, "item_id": pl.String}
        ),
        ".jsonl": pl.read_ndjson,
        ".parquet": pl.read_parquet,
    }
    if path.suffix not in readers:
        raise DataError(f"{path} is not a .csv, .jsonl or .parquet file.")
    try:
        frame = readers[path.suffix](path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    missing = [name for name in _COLUMNS[:2] if name not in frame.columns]
    if missing:
        raise DataError(
            f"{path} lacks {', '.join(missing)}; it has {', '.join(frame.columns)}. Needed: "
            f"user_id and item_id. timestamp (microseconds since 1970 or ISO 8601 text) and "
            f"positive may be left out: now, and liked."
        )
    frame = frame.select(name for name in _COLUMNS if name in frame.columns)
    empty = [name for name, count in frame.null_count().row(0, named=True).items() if count]
    if empty:
        raise DataError(f"{path} has empty values in {', '.join(empty)}. Drop or mend those rows.")
    if "timestamp" in frame.columns and isinstance(frame.schema["timestamp"], pl.Datetime):
        frame = frame.with_columns(pl.col("timestamp").dt.epoch("us"))
    ids = [pl.col(name).cast(pl.String) for name in _COLUMNS[:2]]
    return list(frame.with_columns(ids).iter_rows(named=True))


def push(url: str, events: Sequence[dict[str, Any]], *, timeout: float) -> dict[str, Any]:
    """Post events in blocks and return the summed answer.

    Args:
        url: ``http://host:port`` of the feature server.
        events: With user_id and item_id, and perhaps timestamp and positive.
        timeout: Seconds for each request.

    Raises:
        ConfigError: The URL is none.
        DataError: The server refused an event; names field and value.
        ServerError: No feature server answers there.
    """
    parts = urlsplit(url if "//" in url else f"//{url}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError([f"--url {url!r}: {error}"]) from None
    if not host or parts.scheme not in ("", "http"):
        raise ConfigError([f"--url {url!r} must look like http://127.0.0.1:6566."])
    total: dict[str, Any] = {"accepted": 0, "users_changed": 0, "unknown_items": []}
    connection = http.client.HTTPConnection(host, port or 6566, timeout=timeout)
    try:
        for block in _blocks(events):
            answer = _post(connection, f"http://{host}:{port or 6566}", block, total["accepted"])
            total["accepted"] += answer["accepted"]
            total["users_changed"] += answer["users_changed"]
            total["unknown_items"] += answer["unknown_items"]
    finally:
        connection.close()
    total["unknown_items"] = list(dict.fromkeys(total["unknown_items"]))
    return total


def _blocks(events: Sequence[dict[str, Any]]) -> Iterator[Sequence[dict[str, Any]]]:
    return (events[start : start + BLOCK] for start in range(0, len(events), BLOCK))


def _post(
    connection: http.client.HTTPConnection, where: str, events: Sequence[dict[str, Any]], done: int
) -> dict[str, Any]:
    after = f" {done} events were accepted before that; they may be sent again." if done else ""
    try:
        connection.request("POST", "/events", json.dumps({"events": events}))
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise ServerError(
            f"The feature server at {where} does not answer: {error}.{after} {_TIMEOUT_HINT}"
        ) from error
    try:
        answer = json.loads(content)
    except ValueError:
        answer = {}
    if response.status == 200 and isinstance(answer, dict) and "accepted" in answer:
        return answer
    if response.status in (413, 422) and isinstance(answer, dict) and "error" in answer:
        raise DataError(f"The feature server refused the events: {answer['error']}.{after}")
    if response.status in (404, 405):
        raise ServerError(
            f"{where} has no POST /events: it is not the feature server of this project (Feast's "
            f"own cannot merge events).{after} {_TIMEOUT_HINT}"
        )
    said = answer.get("error") if isinstance(answer, dict) else None
    raise ServerError(
        f"The feature server at {where} answered {response.status}: "
        f"{said or content[:200].decode('utf-8', 'replace')}.{after}"
    )
