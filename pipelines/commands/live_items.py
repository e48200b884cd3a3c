"""``counterpoint add-item``, ``remove-item`` and ``live-items``: items while the model serves."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from counterpoint.errors import ConfigError, DataError
from pipelines import options
from pipelines.asking import CredentialsFolder, shown
from pipelines.teaching import TeachingCommand

DEFAULT_URL = "127.0.0.1:8001"

Url = Annotated[str, typer.Option(help="host:port of the server's gRPC.")]
Store = Annotated[
    Path | None,
    typer.Option(
        help="Write this file (deploy.live_items) instead of asking a server; servers that use it "
        "encode what is new."
    ),
]
Timeout = Annotated[float, typer.Option(help="Seconds to wait for the server.")]


def add_item(
    item_id: Annotated[str, typer.Option(help="Id of the item.")] = "",
    title: Annotated[str | None, typer.Option(help="Title.")] = None,
    text: Annotated[str | None, typer.Option(help="Description.")] = None,
    attribute: Annotated[
        list[str] | None, typer.Option(help="name=value, such as genre=Drama; may be repeated.")
    ] = None,
    vector: Annotated[
        list[str] | None,
        typer.Option(
            help="name=file, such as image=new.npy: its vector of a modality, as .npy or as a JSON "
            "list; may be repeated."
        ),
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="Not recommended before this time (ISO 8601).")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Not recommended from this time on (ISO 8601).")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="Many items: .csv, .jsonl or .parquet (docs/serving.md).")
    ] = None,
    replace: Annotated[bool, typer.Option(help="Overwrite items that exist.")] = False,
    url: Url = DEFAULT_URL,
    store: Store = None,
    timeout: Timeout = 30.0,
    credentials: CredentialsFolder = None,
) -> None:
    """Add items to what a server recommends, without training and without a restart.

    [bold]Examples[/]

      counterpoint add-item --item-id 9001 --title "The Long Night" --attribute genre=Drama

      counterpoint add-item --item-id 9002 --vector image=9002.npy

      counterpoint add-item --file new-items.csv --replace
    """
    if bool(item_id) == bool(file):
        raise ConfigError(["Give either --item-id with the item's fields, or --file."])
    one = {
        "item_id": item_id,
        "title": title,
        "text": text,
        "attributes": attribute or [],
        "available_from": from_,
        "available_until": until,
        "vectors": dict(_vector(given) for given in vector or ()),
    }
    items = [one] if file is None else _read(file)
    started = time.perf_counter()
    if store is not None:
        done = _write(store, items, replace)
        for answer in done:
            _say(answer)
        options.out.print(
            f"Written to {store}; servers that use it encode and recommend what is new.",
            soft_wrap=True,
        )
        return
    from serving.live_items import LiveItemsClient

    with LiveItemsClient(url, timeout=timeout, credentials=shown(credentials)) as client:
        sent = time.perf_counter()
        answers = client.add(items, replace=replace)
        client.await_known([answer["item_id"] for answer in answers], patience=timeout)
        ready = time.perf_counter()
    for answer in answers:
        _say(answer)
    options.out.print(
        f"{'It' if len(answers) == 1 else 'They'} can be recommended "
        f"{(ready - sent) * 1e3:.0f} ms after the request ({(ready - started) * 1e3:.0f} ms with "
        f"the start of the client).",
        soft_wrap=True,
    )


def remove_item(
    item_id: Annotated[list[str], typer.Argument(help="Ids of the items.")],
    url: Url = DEFAULT_URL,
    store: Store = None,
    timeout: Timeout = 30.0,
    credentials: CredentialsFolder = None,
) -> None:
    """Take items out of all later answers; `add-item` puts them back.

    [bold]Example[/]

      counterpoint remove-item 9001
    """
    from counterpoint.live_items import FaultyItem
    from counterpoint.live_items import item_id as checked

    try:
        ids = [checked(item) for item in item_id]
    except FaultyItem as error:
        raise DataError(str(error)) from None
    started = time.perf_counter()
    if store is not None:
        with _opened(store) as file:
            file.remove(ids)
    else:
        from serving.live_items import LiveItemsClient

        with LiveItemsClient(url, timeout=timeout, credentials=shown(credentials)) as client:
            client.remove(ids)
    spent = (time.perf_counter() - started) * 1e3
    options.out.print(f"Removed {', '.join(ids)} ({spent:.0f} ms).", highlight=False)


app = typer.Typer(help="Items that were added, changed or removed.", no_args_is_help=True)


@app.callback()
def live_items() -> None:
    """Items that were added, changed or removed since the training."""


@app.command("list", cls=TeachingCommand)
def list_(
    removed: Annotated[bool, typer.Option(help="Show removed ones too.")] = False,
    url: Url = DEFAULT_URL,
    store: Store = None,
    timeout: Timeout = 30.0,
    credentials: CredentialsFolder = None,
) -> None:
    """List the live items.

    [bold]Example[/]

      counterpoint live-items list --removed
    """
    from rich.table import Table

    if store is not None:
        from serving.engine import item_writer

        with _opened(store, create=False) as file:
            stored = [row for row in file.since() if removed or row.removed_at is None]
        rows = [item_writer.shown(row) for row in stored]
    else:
        from serving.live_items import LiveItemsClient

        with LiveItemsClient(url, timeout=timeout, credentials=shown(credentials)) as client:
            rows = client.items(removed=removed)
    table = Table("item", "title", "attributes", "available", "added", "removed")
    for row in rows:
        window = [row["available_from"] or "", row["available_until"] or ""]
        table.add_row(
            row["item_id"],
            row["title"] or "",
            ", ".join(row["attributes"]),
            " to ".join(window) if any(window) else "",
            row["added_at"],
            row["removed_at"] or "",
        )
    options.out.print(table if rows else "No live items.")


def _say(answer: dict[str, Any]) -> None:
    known = answer.get("attributes_known")
    parts = [f"{answer['action']} {answer['item_id']!r}"]
    if known is not None and not answer["in_graph"]:
        parts.append("text known" if answer["text_known"] else "no text")
        if answer.get("modalities_known"):
            parts.append(f"vectors known: {', '.join(answer['modalities_known'])}")
        parts.append(f"attributes known to the model: {', '.join(known) or 'none'}")
    options.out.print("; ".join(parts), markup=False, highlight=False, soft_wrap=True)
    for warning in answer.get("warnings", ()):
        options.err.print(f"[yellow]warning:[/] {warning}", soft_wrap=True)


def _write(store: Path, given: Sequence[dict[str, Any]], replace: bool) -> list[dict[str, Any]]:
    """Check and write items without a server, all or none."""
    from counterpoint.live_items import FaultyItem, parse

    try:
        items = [parse(row) for row in given]
        with _opened(store) as file:
            done = file.put(items, replace=replace)
    except FaultyItem as error:
        raise DataError(str(error)) from None
    return [{"action": what, **row.item.row()} for what, row in done]


def _opened(store: Path, *, create: bool = True) -> Any:
    from contextlib import closing

    from counterpoint.live_store import LiveStore

    return closing(LiveStore(store, create=create))


def _read(path: Path) -> list[dict[str, Any]]:
    """Read a file of items: canonical columns; each further column is an attribute."""
    import polars as pl

    from counterpoint.live_items import FIELDS

    readers = {
        ".csv": lambda: pl.read_csv(path, infer_schema=False),
        ".jsonl": lambda: pl.read_ndjson(path),
        ".parquet": lambda: pl.read_parquet(path),
    }
    if path.suffix not in readers:
        raise DataError(f"{path}: its name must end with one of {', '.join(readers)}.")
    try:
        frame = readers[path.suffix]()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    if "item_id" not in frame.columns:
        raise DataError(f"{path} has no column item_id; it has {', '.join(frame.columns)}.")
    if frame.is_empty():
        raise DataError(f"{path} holds no item.")
    items = []
    for row in frame.iter_rows(named=True):
        item = {name: row[name] for name in FIELDS if name in row}
        item["item_id"] = None if row["item_id"] is None else str(row["item_id"])
        given = item.get("attributes")
        tokens = given.split(";") if isinstance(given, str) else _tokens(given)
        for name in frame.columns:
            values = row[name] if isinstance(row[name], list) else [row[name]]
            if name not in FIELDS:
                tokens += [f"{name}={value}" for value in values if value is not None]
        items.append(_plain(item) | {"attributes": [t.strip() for t in tokens if t.strip()]})
    return items


def _vector(given: str) -> tuple[str, list[float]]:
    """Read ``name=file``."""
    name, sign, path = given.partition("=")
    if not (name and sign and path):
        raise ConfigError([f"--vector {given!r} must look like image=new.npy."])
    if path.endswith(".npy"):
        from counterpoint.modality_files import UnreadableVector, load

        try:
            return name, load(Path(path)).tolist()
        except UnreadableVector as error:
            raise DataError(f"{path}: {error}.") from None
    try:
        return name, json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read as a vector: {error}. Give a .npy file or a JSON list."
        ) from None


def _tokens(given: Any) -> list[str]:
    if isinstance(given, dict):
        return [f"{name}={value}" for name, value in given.items() if value is not None]
    return [str(token) for token in given or ()]


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    """Times as text, which is what travels to the server."""
    return {k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in item.items()}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("add-item", cls=TeachingCommand)(add_item)
    app.command("remove-item", cls=TeachingCommand)(remove_item)
