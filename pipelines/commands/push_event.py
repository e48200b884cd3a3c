"""``counterpoint push-event``: make an interaction count in the next answer."""

from pathlib import Path
from typing import Annotated, Any

import typer

from counterpoint.errors import ConfigError
from pipelines import options
from pipelines.teaching import TeachingCommand


def push_event(
    user: Annotated[str | None, typer.Option(help="Id of the user.")] = None,
    item: Annotated[str | None, typer.Option(help="Id of the item.")] = None,
    positive: Annotated[
        bool, typer.Option("--positive/--negative", help="Whether the user liked it.")
    ] = True,
    at: Annotated[
        str | None, typer.Option(help="ISO 8601 time, UTC without a zone; default: now.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            help="Many events: .csv, .jsonl or .parquet with user_id, item_id and perhaps "
            "timestamp, positive."
        ),
    ] = None,
    url: Annotated[
        str, typer.Option(help="The feature server (counterpoint feature-server).")
    ] = "http://127.0.0.1:6566",
    timeout: Annotated[float, typer.Option(help="Seconds to wait for each answer.")] = 30.0,
) -> None:
    """Push an interaction to the feature server: it counts in the next recommendation.

    Events may come late, repeated or in any order; histories stay sorted by time.

    [bold]Examples[/]

      counterpoint push-event --user 42 --item 172

      counterpoint push-event --user 42 --item 50 --negative --at 2026-01-31T12:00:00Z

      counterpoint push-event --file events.csv --url http://127.0.0.1:6566
    """
    from pipelines import pushing

    events = _events(user, item, positive=positive, at=at, file=file)
    result = pushing.push(url, events, timeout=timeout)
    accepted, changed = result["accepted"], result["users_changed"]
    already = "" if changed else " They were there already, or are older than what is kept."
    options.out.print(
        f"{accepted} event{'s' * (accepted != 1)} accepted, {changed} "
        f"histor{'y' if changed == 1 else 'ies'} changed.{already}",
        highlight=False,
    )
    if result["unknown_items"]:
        named = result["unknown_items"]
        shown = ", ".join(named[:5]) + (" …" if len(named) > 5 else "")
        options.err.print(
            f"Not in the catalogue of the feature store: {shown}. Kept in the history; counts as "
            f"soon as a served version knows the item.",
            highlight=False,
            markup=False,
        )


def _events(
    user: str | None, item: str | None, *, positive: bool, at: str | None, file: Path | None
) -> list[dict[str, Any]]:
    from pipelines import pushing

    if file is not None:
        if user or item or at or not positive:
            raise ConfigError(
                ["--file brings users, items and times of its own; leave the other options out."]
            )
        return pushing.read(file)
    missing = [name for name, value in (("--user", user), ("--item", item)) if not value]
    if missing:
        raise ConfigError([f"{' and '.join(missing)} must be given (or --file for many events)."])
    event = {"user_id": user, "item_id": item, "positive": positive}
    return [event | ({"timestamp": pushing.instant(at)} if at else {})]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("push-event", cls=TeachingCommand)(push_event)
