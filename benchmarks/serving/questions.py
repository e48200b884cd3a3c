"""The questions that are asked: known users, as tensors of `recommend` and of the graph."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from benchmarks.serving.open_loop import Done, Send
from counterpoint import artifacts, columns
from counterpoint.user_snapshot import UserSnapshot
from serving import repository
from serving.models import recommend
from serving.onnx_session import OnnxSession
from serving.spec import Arrays, Call, InvalidInput, ModelSpec

K = 10
USERS = 200
TIMEOUT = 30.0


def users(folder: Path, most: int = USERS) -> list[str]:
    """Return users with events, spread over the snapshot of a version."""
    with closing(UserSnapshot(folder / "onnx" / artifacts.USERS_SNAPSHOT)) as store:
        ids = [user.user_id for user in store if len(user.items)]
    step = max(1, len(ids) // most)
    return ids[::step][:most]


def items(folder: Path) -> list[str]:
    """Return the item ids of a version."""
    table = pl.read_parquet(folder / "onnx" / artifacts.ITEMS, columns=[columns.ITEM])
    return [str(item) for item in table[columns.ITEM]]


def asking(ids: Sequence[str], *, rows: int = 1, k: int = K) -> list[Arrays]:
    """Return requests of ``rows`` users each, as many as there are users."""
    source = cycle(ids)
    return [
        {
            "user_id": np.array([[user.encode()] for user in islice(source, rows)], dtype=object),
            "k": np.full((rows, 1), k, np.int32),
        }
        for _ in ids
    ]


@contextmanager
def front(
    folder: Path, target: Path, options: Mapping[str, str], call: Call
) -> Iterator[recommend.Runtime]:
    """Give the front `recommend` of a version in this process.

    Args:
        folder: Folder of the version.
        target: Model repository, written if it is not there.
        options: Parameters of the model.
        call: Asks other models.
    """
    if not target.is_dir():
        repository.write(folder, target, form="local", number=1, options=options)
    with closing(recommend.Runtime(target / recommend.SPEC.name / "1", options, call)) as found:
        yield found


def answer(runtime: recommend.Runtime, question: Arrays) -> Arrays:
    """Return the answer to a right question."""
    (found,) = runtime.execute([question])
    if isinstance(found, InvalidInput):
        raise found
    return found


def encode(folder: Path, target: Path, questions: Sequence[Arrays]) -> list[Arrays]:
    """Return the graph's tensors of each question, the whole batch in one run.

    The front asks for similar rows together; here the batch stays as it came.
    """
    sent: list[list[Arrays]] = []
    graph = OnnxSession(folder / "onnx" / artifacts.RECOMMENDER_ONNX)

    def noted(
        model: str, inputs: Arrays, outputs: Sequence[str], *, number: int | None = None
    ) -> Arrays:
        sent[-1].append(inputs)
        return graph.run(inputs)

    with front(folder, target, {"version": "measured", "graph": "bls"}, noted) as runtime:
        for question in questions:
            sent.append([])
            answer(runtime, question)
    return [_together(parts) for parts in sent]


def _together(parts: Sequence[Arrays]) -> Arrays:
    joined = {}
    for name in parts[0]:
        width = max(part[name].shape[1] for part in parts)
        padded = [np.pad(p[name], ((0, 0), (0, width - p[name].shape[1]))) for p in parts]
        joined[name] = np.concatenate(padded)
    return joined


def prepared(make: type, spec: ModelSpec, requests: Sequence[Arrays]) -> list[list[object]]:
    """Return tritonclient's inputs of each request."""
    dtypes = {tensor.name: tensor.dtype for tensor in spec.inputs}
    found = []
    for request in requests:
        inputs = []
        for name, array in request.items():
            inputs.append(make(name, list(array.shape), dtypes[name]))
            inputs[-1].set_data_from_numpy(array)
        found.append(inputs)
    return found


def grpc_send(client: object, make: type, spec: ModelSpec, requests: Sequence[Arrays]) -> Send:
    """Return a way to send request n (round and round) over gRPC, whose answer is read."""
    ready = prepared(make, spec, requests)
    first = spec.outputs[0].name

    def send(number: int, done: Done) -> None:
        def answered(result: object, error: Exception | None) -> None:
            if error is None:
                read: npt.NDArray[np.generic] | None = result.as_numpy(first)  # type: ignore[attr-defined]
                done(None if read is not None and read.size else "an empty answer")
            else:
                done(str(error))

        inputs = ready[number % len(ready)]
        client.async_infer(spec.name, inputs, answered, client_timeout=TIMEOUT)  # type: ignore[attr-defined]

    return send
