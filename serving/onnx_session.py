"""An ONNX graph behind a batch of requests. Runs inside Triton: numpy and onnxruntime only."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException

from serving.spec import Arrays, ModelSpec

logger = logging.getLogger(__name__)

REFUSED: tuple[type[Exception], ...] = (InvalidArgument, RuntimeException, Fail)
"""What onnxruntime raises when a graph cannot compute with its inputs."""


class OnnxSession:
    """An onnxruntime session that answers several requests in one run.

    Args:
        path: The ONNX graph.
        threads: Threads of one run; 1 is fastest for small graphs on a shared machine.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        available = ort.get_available_providers()
        wanted = [p for p in ("CUDAExecutionProvider", "CPUExecutionProvider") if p in available]
        self._session = ort.InferenceSession(str(path), options, providers=wanted)
        self.inputs = [node.name for node in self._session.get_inputs()]
        self.outputs = [node.name for node in self._session.get_outputs()]
        logger.info("%s runs on %s", path.name, self._session.get_providers()[0])

    def run(self, inputs: Arrays) -> Arrays:
        """Run one batch."""
        values = self._session.run(self.outputs, {name: inputs[name] for name in self.inputs})
        return dict(zip(self.outputs, values, strict=True))

    def execute(self, requests: Sequence[Arrays]) -> list[Arrays]:
        """Run requests of equal row shapes together and give each its own rows back."""
        return together(self.run, self.inputs, requests)


def together(
    run: Callable[[Arrays], Arrays], names: Sequence[str], requests: Sequence[Arrays]
) -> list[Arrays]:
    """Run requests of equal row shapes together and give each its own rows back.

    Args:
        run: Runs one batch.
        names: Its inputs.
        requests: Inputs of each request.
    """
    groups: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    for index, request in enumerate(requests):
        shapes = tuple(np.shape(request[name])[1:] for name in names)
        groups.setdefault(shapes, []).append(index)
    answers: list[Arrays] = [{} for _ in requests]
    for members in groups.values():
        batch = {n: np.concatenate([requests[i][n] for i in members]) for n in names}
        result = run(batch)
        ends = np.cumsum([len(requests[i][names[0]]) for i in members])[:-1]
        rows = {name: np.split(value, ends) for name, value in result.items()}
        for position, index in enumerate(members):
            answers[index] = {name: parts[position] for name, parts in rows.items()}
    return answers


def of_model(folder: Path, spec: ModelSpec) -> Path:
    """Find the graph of a model: in the payload of a version, else beside the model."""
    found = folder / Path(spec.onnx or "").relative_to("onnx")
    return found if found.is_file() else folder / "model.onnx"
