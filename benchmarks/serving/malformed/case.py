"""One wrong request and what a good answer to it says; how tensors are put into a message."""

import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from tritonclient.grpc import service_pb2 as pb

REFUSALS = (
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "RESOURCE_EXHAUSTED",
    "UNIMPLEMENTED",
    "ALREADY_EXISTS",
    "OUT_OF_RANGE",
)
"""Statuses that blame the request."""


NEIGHBOUR = "string data for inference input"
"""Triton's Python backend refuses a whole batch for one request whose strings do not fit their
bytes; no client library can send such, and the project's clients ask again."""


@dataclass(frozen=True)
class Case:
    """A wrong request.

    Attributes:
        kind: What is wrong, for the report.
        request: The message.
        fields: The refusal must name one of them.
        may_pass: It may be answered too: odd, but not surely wrong.
    """

    kind: str
    request: Any
    fields: Sequence[str]
    may_pass: bool = False

    def fault(self, status: str, message: str) -> str | None:
        """Return what is wrong with the answer.

        Args:
            status: Name of the status, such as INVALID_ARGUMENT.
            message: What it says.
        """
        if status == "OK":
            return None if self.may_pass else "was answered"
        if status == "INVALID_ARGUMENT" and NEIGHBOUR in message:
            return None
        if status not in REFUSALS:
            return f"status {status}"
        if not any(
            re.search(rf"(?<!\w){re.escape(field)}(?!\w)", message) for field in self.fields
        ):
            return "names no field"
        return None


Maker = Callable[[Random], Case]
"""Makes a random case of one kind."""

Tensor = tuple[str, Sequence[int], bytes]
"""Datatype, shape, raw content."""

Request = dict[str, Tensor]


def message(model: str, tensors: Mapping[str, Tensor], **more: Any) -> pb.ModelInferRequest:
    """Return the message of tensors, whether they fit or not."""
    request = pb.ModelInferRequest(model_name=model, **more)
    for name, (datatype, shape, raw) in tensors.items():
        request.inputs.add(name=name, datatype=datatype, shape=shape)
        request.raw_input_contents.append(raw)
    return request


def texts(*values: bytes) -> bytes:
    """Return the raw content of a BYTES tensor."""
    return b"".join(struct.pack("<I", len(value)) + value for value in values)


def ints(*values: int, code: str = "q") -> bytes:
    """Return the raw content of a tensor of whole numbers (``i``: INT32, ``q``: INT64)."""
    return struct.pack(f"<{len(values)}{code}", *values)


def draw(makers: Sequence[Maker], count: int, seed: int) -> Iterator[Case]:
    """Yield cases of all kinds, the same for the same seed."""
    random = Random(seed)
    for number in range(count):
        yield makers[number % len(makers)](random)
