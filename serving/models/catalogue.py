"""The front `catalogue`: adds, changes, removes and lists items while the model serves."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from counterpoint.live_items import FaultyItem
from counterpoint.live_store import LiveStore, UnusableStore
from serving.engine import item_table, item_writer, text_encoder
from serving.engine.item_writer import ItemModel, Store
from serving.engine.mirror import MirroredStore
from serving.fields import MAX_REQUEST_BYTES, check_size, pad, text_rows
from serving.spec import BYTES, Arrays, Call, InvalidInput, ModelSpec, Tensor

ACTIONS = ("add", "replace", "remove", "get", "list")
MAX_LISTED = 1_000

SPEC = ModelSpec(
    name="catalogue",
    doc="Adds, changes, removes and lists items without training and without a restart.",
    inputs=(
        Tensor("action", BYTES, (1,), f"{', '.join(ACTIONS)}; the same in every row"),
        Tensor("item", BYTES, (1,), "JSON object, see New items"),
    ),
    outputs=(Tensor("answer", BYTES, (1,), "JSON object: what was done, or the item"),),
    max_batch_size=64,
    files=(("contract.json", "onnx/contract.json"), ("items.npz", "onnx/items.parquet")),
    optional_files=text_encoder.SERVED,
)


class Runtime:
    """Writes the store that ``options["live_items"]`` names.

    With ``options["live_items_server"]`` it is a copy of what that server keeps.
    """

    def __init__(self, folder: Path, options: Mapping[str, str], call: Call) -> None:
        contract = json.loads((folder / "contract.json").read_text("utf-8"))
        ids = [item.decode() for item in item_table.read(folder / "items.npz").ids]
        encoder = text_encoder.find(folder)
        self._model = ItemModel.of(options["version"], contract, frozenset(ids), encoder)
        self._max_bytes = int(options.get("max_request_bytes", MAX_REQUEST_BYTES))
        self._path = options.get("live_items", "")
        self._server = options.get("live_items_server", "")
        self._store = self._open() if self._path else None

    def execute(self, requests: Sequence[Arrays]) -> Sequence[Arrays | InvalidInput]:
        """Answer each request; its rows are done together or not at all."""
        answers: list[Arrays | InvalidInput] = []
        for request in requests:
            try:
                check_size(request, self._max_bytes)
                found = self._answer(request)
                rows = [[json.dumps(answer, ensure_ascii=False)] for answer in found]
                answers.append({"answer": pad(rows)})
            except InvalidInput as error:
                answers.append(error)
            except (FaultyItem, UnusableStore) as error:
                answers.append(InvalidInput(str(error)))
        return answers

    def _answer(self, request: Arrays) -> list[dict[str, Any]]:
        started = time.perf_counter()
        store = self._opened()
        actions = {row[0] for row in text_rows(request, "action", drop_empty=False)}
        if len(actions) != 1 or not actions <= set(ACTIONS):
            raise InvalidInput(
                f"action: {', '.join(sorted(map(repr, actions)))} is not allowed; send one of "
                f"{', '.join(ACTIONS)}, the same in every row."
            )
        (action,) = actions
        given = [_json(row[0]) for row in text_rows(request, "item", drop_empty=False)]
        if action in ("add", "replace"):
            replace = action == "replace"
            done = item_writer.put(store, self._model, given, replace=replace)
        elif action == "remove":
            done = item_writer.remove(store, self._model, given)
        elif action == "get":
            done = [item_writer.get(store, self._model, row) for row in given]
        else:
            done = [_list(store, row) for row in given]
        spent = round((time.perf_counter() - started) * 1e3, 3)
        return [{**answer, "milliseconds": spent} for answer in done]

    def _open(self) -> Store:
        path = Path(self._path)
        return MirroredStore(path, self._server) if self._server else LiveStore(path)

    def _opened(self) -> Store:
        if self._store is None:
            raise InvalidInput("action: this server keeps no live items; set deploy.live_items.")
        if isinstance(self._store, LiveStore) and self._store.changed()[1]:
            # Removed under our feet: what is written must not go into a file nobody finds.
            self._store.close()
            self._store = self._open()
        return self._store


def _json(text: str) -> Any:
    try:
        return json.loads(text or "{}", parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"item: {text[:60]!r} is not JSON ({error}).") from None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON value")


def _list(store: Store, given: Any) -> dict[str, Any]:
    """A page of the store by id: ``after`` an id, at most ``limit``; ``removed`` ones on demand."""
    if not isinstance(given, Mapping) or not set(given) <= {"after", "limit", "removed"}:
        raise InvalidInput("item: to list, send an object with after, limit and removed, or {}.")
    after, limit = given.get("after", ""), given.get("limit", MAX_LISTED)
    if not isinstance(after, str):
        raise InvalidInput(f"after: {after!r} is not an item id.")
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_LISTED:
        raise InvalidInput(f"limit: {limit!r} is out of range; allowed are 1 to {MAX_LISTED}.")
    rows = [row for row in store.since() if given.get("removed") or row.removed_at is None]
    page = sorted(
        (row for row in rows if row.item.item_id > after), key=lambda row: row.item.item_id
    )[:limit]
    return {"items": [item_writer.shown(row) for row in page], "total": len(rows)}
