"""Requests that break the protocol: inputs, outputs, models and versions that do not exist."""

from random import Random

from tritonclient.grpc import service_pb2 as pb

from benchmarks.serving.malformed.case import Case, Maker, ints, message, texts
from benchmarks.serving.malformed.tensor_cases import FIELDS, MODEL, good


def unknown_input(random: Random) -> Case:
    """A tensor that the model does not have."""
    name = random.choice(("foo", "K", "users", "user-id", "x" * 1000, "ünï"))
    tensors = good(random, rows=1) | {name: ("BYTES", (1, 1), texts(b"x"))}
    return Case("unknown input", message(MODEL, tensors), (name,))


def no_input(random: Random) -> Case:
    """Nothing at all, or no row."""
    empty = random.choice(({}, {"k": ("INT32", (0, 1), b"")}))
    return Case("no input or no row", message(MODEL, empty), (*FIELDS, "input", "inputs"))


def twice(random: Random) -> Case:
    """The same tensor twice."""
    request = message(MODEL, {"k": ("INT32", (1, 1), ints(5, code="i"))})
    request.inputs.append(request.inputs[0])
    request.raw_input_contents.append(request.raw_input_contents[0])
    return Case("input twice", request, ("k",))


def contents_missing(random: Random) -> Case:
    """Fewer or more contents than tensors."""
    request = message(MODEL, good(random, rows=1))
    more = random.random() < 0.5
    if more:
        request.raw_input_contents.append(b"more")
    else:
        del request.raw_input_contents[:]
    # What belongs to no input is not looked at.
    return Case("contents do not match inputs", request, (*FIELDS, "input"), may_pass=more)


def typed_contents(random: Random) -> Case:
    """Values in the field of another type."""
    request = pb.ModelInferRequest(model_name=MODEL)
    name = random.choice(("k", "user_id"))
    kind = "INT32" if name == "k" else "BYTES"
    tensor = request.inputs.add(name=name, datatype=kind, shape=(1, 1))
    choice = random.randrange(3)
    if choice == 0:
        tensor.contents.fp64_contents.extend([float("nan"), 1e308])
    elif choice == 1:
        tensor.contents.int64_contents.extend([2**62])
    else:
        tensor.contents.bool_contents.extend([True] * 7)
    return Case("typed contents of another type", request, (name,))


def unknown_output(random: Random) -> Case:
    """An output that the model does not have."""
    request = message(MODEL, good(random, rows=1))
    name = random.choice(("foo", "item_id ", "x" * 300))
    request.outputs.add(name=name)
    return Case("unknown output", request, (name.strip(),))


def unknown_model(random: Random) -> Case:
    """A model that is not served."""
    name = random.choice(("recommand", "", "../recommend", "x" * 500, "Recommend", "日本"))
    return Case("unknown model", message(name, good(random)), (name, "model"))


def unknown_version(random: Random) -> Case:
    """A version that is not served."""
    wanted = random.choice(("99", "x", "9" * 30))
    request = message(MODEL, good(random), model_version=wanted)
    return Case("unknown version", request, (wanted, "version", "recommend"))


def parameters(random: Random) -> Case:
    """Parameters of the protocol with values of another type."""
    request = message(MODEL, good(random, rows=1))
    choice = random.randrange(3)
    if choice == 0:
        del request.raw_input_contents[:]
        for tensor in request.inputs:
            tensor.parameters["shared_memory_region"].string_param = "nope"
        return Case("shared memory that is not there", request, ("nope", "shared_memory_region"))
    if choice == 1:
        request.parameters["sequence_id"].bool_param = True
        return Case("sequence_id of another type", request, ("sequence_id",), may_pass=True)
    request.parameters["priority"].string_param = "first"
    return Case("priority of another type", request, ("priority",), may_pass=True)


MAKERS: tuple[Maker, ...] = (
    unknown_input,
    no_input,
    twice,
    contents_missing,
    typed_contents,
    unknown_output,
    unknown_model,
    unknown_version,
    parameters,
)
