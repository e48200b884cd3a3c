"""A plain model server as many projects write it: FastAPI, uvicorn, onnxruntime, one process.

``python -m benchmarks.serving.peer_server --version <folder> --port <port>``. It answers
``POST /recommend`` of known users from a table in memory. It has no rules, no live features, no
versions to swap, no batching: what it costs is the least that such a server costs.
"""

import argparse
import gc
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from counterpoint import artifacts, columns, tables
from counterpoint.onnx_parity import session
from counterpoint.user_snapshot import StoredUser, UserSnapshot


class Question(BaseModel):
    """Body of a request: a known user and the length of the list."""

    user_id: str
    k: int = 10


class Item(BaseModel):
    """An item of the answer."""

    item_id: str
    title: str
    score: float
    reasons: list[str]


class Plain:
    """The graph, the items and the users of a version folder."""

    def __init__(self, version: Path) -> None:
        onnx = version / "onnx"
        contract = tables.read_json(onnx / artifacts.CONTRACT)
        items = pl.read_parquet(onnx / artifacts.ITEMS)
        self._session = session(onnx / artifacts.RECOMMENDER_ONNX)
        self._ids = ["", *items[columns.ITEM]]
        self._titles = ["", *items[columns.TITLE]]
        self._profile = {token: i for i, token in enumerate(contract["profile"])}
        self._length = int(contract["history_length"])
        with closing(UserSnapshot(onnx / artifacts.USERS_SNAPSHOT)) as store:
            self._users: dict[str, StoredUser] = {user.user_id: user for user in store}

    def answer(self, question: Question) -> list[Item]:
        """Recommend to a known user."""
        user = self._users[question.user_id]
        items, liked = user.items[-self._length :], np.array(user.positive[-self._length :], bool)
        profile = np.zeros((1, max(1, len(self._profile))), np.float32)
        profile[0, [self._profile[t] for t in user.attributes if t in self._profile]] = 1
        best = self._run(
            {
                "history": np.array([items], np.int64),
                "history_age": (liked.sum() - np.cumsum(liked)).astype(np.float32)[None],
                "history_kind": np.where(liked, 1, 2)[None],
                "profile": profile,
                "exclude": np.array([[*user.items[: -self._length], 0]], np.int64),
                "allow": np.zeros((1, 1), np.int64),
                "k": np.array([[question.k]], np.int64),
            }
        )
        found = zip(
            best["item"][0].tolist(),
            best["score"][0].tolist(),
            best["reason"][0].tolist(),
            strict=True,
        )
        return [
            Item(
                item_id=self._ids[item],
                title=self._titles[item] or "",
                score=score,
                reasons=self._names(items[place - 1] for place in reasons if place),
            )
            for item, score, reasons in found
            if item
        ]

    def _names(self, items: Iterable[int]) -> list[str]:
        return [self._ids[item] for item in items]

    def _run(self, inputs: dict[str, Any]) -> dict[str, Any]:
        names = [node.name for node in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, inputs), strict=True))


def application(version: Path) -> FastAPI:
    """Return the application that serves a version folder."""
    app, plain = FastAPI(), Plain(version)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/recommend")
    async def recommend(question: Question) -> list[Item]:
        # In the event loop: handing 1 ms of work to a thread costs more than it saves.
        return plain.answer(question)

    return app


def main() -> None:
    """Serve until a signal ends it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.peer_server")
    parser.add_argument("--version", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    app = application(given.version)
    gc.collect()
    gc.freeze()
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=given.port,
        log_level="warning",
        access_log=False,
        # The other servers are asked meanwhile, and the caller keeps its connections.
        timeout_keep_alive=3600,
    )


if __name__ == "__main__":
    main()
