"""What a served model declares: its tensors and how they are batched.

Only the standard library: this file is copied into the model repository and runs inside Triton.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

BYTES = "BYTES"
"""UTF-8 strings; ``TYPE_STRING`` in config.pbtxt, ``object`` in numpy."""

FLOAT32 = "FP32"
INT64 = "INT64"
INT32 = "INT32"
BOOL = "BOOL"


class InvalidInput(ValueError):
    """A request is wrong; the message names the field. Triton answers INVALID_ARGUMENT."""


@dataclass(frozen=True)
class Tensor:
    """One input or output of a served model.

    Attributes:
        name: Tensor name.
        dtype: One of the constants above (KServe v2 names).
        dims: Shape without the batch dimension; ``-1`` is free; a name is a size that the model's
            contract fixes (see ``ModelSpec.dims``).
        doc: One line for docs/serving.md.
        optional: A request may leave the tensor out.
    """

    name: str
    dtype: str
    dims: tuple[int | str, ...]
    doc: str
    optional: bool = False


@dataclass(frozen=True)
class ModelSpec:
    """One served model.

    Attributes:
        name: Model name in Triton.
        doc: One line for docs/serving.md.
        inputs: Input tensors.
        outputs: Output tensors.
        max_batch_size: Most rows in one execution.
        onnx: Path of the ONNX graph inside the version folder; none: a Python front.
        files: Further files of the model: name in the repository -> path in the version folder.
        optional_files: Files that a version may lack.
        graphs: ONNX graphs that a front runs itself in the local form, as ``files``; in the cluster
            form it asks the models that run them.
        folders: What lies beside the graph in some versions, the index of a large catalogue: name
            in the repository -> path in the version folder.
        requires: Folder or file without which the version does not have this model; none: always.
        ragged: Requests of different shapes may share an execution (the front pads them itself).
        pure: The answer depends on the request alone, so that it may come from a cache.
        warm_up: Request that a graph has answered before it is called ready: values of inputs;
            further inputs are 0; none: no such request.
    """

    name: str
    doc: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    max_batch_size: int = 64
    onnx: str | None = None
    files: tuple[tuple[str, str], ...] = ()
    optional_files: tuple[tuple[str, str], ...] = ()
    graphs: tuple[tuple[str, str], ...] = ()
    folders: tuple[tuple[str, str], ...] = ()
    requires: str | None = None
    ragged: bool = False
    pure: bool = False
    warm_up: tuple[tuple[str, int], ...] | None = None


Arrays = Mapping[str, Any]
"""Tensor name -> numpy array with the batch dimension first."""


class Call(Protocol):
    """Runs another served model (BLS inside Triton)."""

    def __call__(
        self, model: str, inputs: Arrays, outputs: Sequence[str], *, number: int | None = None
    ) -> Arrays:
        """Return the named outputs.

        Args:
            model: Name of the model.
            inputs: Its input tensors.
            outputs: Names of the outputs.
            number: Triton's number of the version; none: that of the caller.
        """
        ...


class Runtime(Protocol):
    """The part of a served model that answers requests; made once per model instance."""

    def execute(self, requests: Sequence[Arrays]) -> Sequence[Arrays | InvalidInput]:
        """Answer each request with its outputs, or with what is wrong with it."""
        ...
