"""Requests of `recommend` whose tensors are wrong: names, types, shapes, sizes, bytes, values."""

from collections.abc import Sequence
from random import Random

from benchmarks.serving.malformed.case import Case, Maker, Request, ints, message, texts

MODEL = "recommend"
LISTS = ("history", "attributes", "allow", "exclude")
STRINGS = ("user_id", *LISTS, "rules", "trace_id")
FIELDS = (*STRINGS, "history_timestamp", "history_positive", "k")
NOT_UTF8 = (b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"ok\x80", b"\xf8\x88\x80\x80\x80")
DATATYPES = ("BOOL", "INT8", "INT32", "INT64", "FP16", "FP32", "FP64", "UINT8", "BYTES", "BF16")
SIZES = {"BOOL": 1, "INT8": 1, "UINT8": 1, "FP16": 2, "BF16": 2, "INT32": 4, "FP32": 4}


def good(random: Random, *, rows: int | None = None) -> Request:
    """Return a right request of some fields."""
    rows = rows or random.randint(1, 3)
    width = random.randint(1, 4)
    numbers = [b"%d" % random.randint(1, 1600) for _ in range(rows * width)]
    every: Request = {
        "user_id": ("BYTES", (rows, 1), texts(*(b"%d" % random.randint(1, 943),) * rows)),
        "history": ("BYTES", (rows, width), texts(*numbers)),
        "exclude": ("BYTES", (rows, width), texts(*numbers[::-1])),
        "attributes": ("BYTES", (rows, 1), texts(*(b"age=31",) * rows)),
        "k": ("INT32", (rows, 1), ints(*(random.randint(1, 20),) * rows, code="i")),
    }
    kept = random.sample(list(every), random.randint(1, len(every)))
    return {name: every[name] for name in kept}


def _with(random: Random, kind: str, field: str, tensor: tuple[str, Sequence[int], bytes]) -> Case:
    rows = tensor[1][0] if tensor[1] and 0 < tensor[1][0] <= 64 else 1
    return Case(kind, message(MODEL, good(random, rows=rows) | {field: tensor}), (field,))


def k_out_of_range(random: Random) -> Case:
    """Lists of no or too many items."""
    value = random.choice((0, -1, -(2**31), 101, 10**6, 2**31 - 1))
    return _with(random, "k out of range", "k", ("INT32", (1, 1), ints(value, code="i")))


def wrong_shape(random: Random) -> Case:
    """More values than a field has."""
    name = random.choice(("k", "user_id", "trace_id"))
    shape = random.choice(((1, 2), (1,), (1, 1, 1), (1, 7), (2, 2)))
    count = 1
    for size in shape:
        count *= size
    raw = ints(*(5,) * count, code="i") if name == "k" else texts(*(b"x",) * count)
    kind = "INT32" if name == "k" else "BYTES"
    return _with(random, "wrong shape", name, (kind, shape, raw))


def odd_dimension(random: Random) -> Case:
    """Sizes that are negative or overflow."""
    name = random.choice(("k", *STRINGS))
    shape = random.choice(
        ((1, -1), (-1, 1), (-5, 1), (1, -(2**40)), (1, 2**40), (2**62, 4), (2**33, 2**33))
    )
    raw = ints(5, code="i") if name == "k" else texts(b"x")
    kind = "INT32" if name == "k" else "BYTES"
    case = _with(random, "negative or huge dimension", name, (kind, shape, raw))
    return Case(case.kind, case.request, (*FIELDS, "shape"))


def rows_differ(random: Random) -> Case:
    """Tensors of different numbers of rows."""
    tensors = good(random, rows=2) | {"k": ("INT32", (3, 1), ints(5, 5, 5, code="i"))}
    tensors |= {"history": ("BYTES", (2, 1), texts(b"1", b"2"))}
    return Case("rows differ", message(MODEL, tensors), FIELDS)


def too_many_rows(random: Random) -> Case:
    """More rows than a request may have."""
    rows = random.choice((65, 100, 1000))
    tensors: Request = {"k": ("INT32", (rows, 1), ints(*(5,) * rows, code="i"))}
    return Case("too many rows", message(MODEL, tensors), (*FIELDS, "batch-size"))


def wrong_type(random: Random) -> Case:
    """A datatype that the field does not have, or that is none."""
    name = random.choice(FIELDS)
    right = {"k": "INT32", "history_timestamp": "INT64", "history_positive": "BOOL"}
    kind = random.choice([d for d in DATATYPES if d != right.get(name, "BYTES")] + ["", "WHAT"])
    raw = texts(b"x") if kind == "BYTES" else bytes(SIZES.get(kind, 8))
    return _with(random, "wrong datatype", name, (kind, (1, 1), raw))


def wrong_size(random: Random) -> Case:
    """Bytes that are no whole number of values."""
    name = random.choice(("k", "history_timestamp", "history_positive"))
    kind = {"k": "INT32", "history_timestamp": "INT64", "history_positive": "BOOL"}[name]
    raw = random.randbytes(random.choice((0, 2, 3, 5, 9, 17, 4096)))
    case = _with(random, "content of another size", name, (kind, (1, 1), raw))
    return Case(case.kind, case.request, FIELDS)


def broken_strings(random: Random) -> Case:
    """Lengths of strings that do not fit the bytes."""
    name = random.choice(STRINGS)
    raw = random.choice(
        (
            b"",
            b"\x05\x00\x00\x00ab",
            b"\xff\xff\xff\xffab",
            b"\xff\xff\xff\x7fab",
            b"\x01\x00",
            texts(b"a") + b"\x00",
            texts(b"a", b"b"),
            random.randbytes(random.randint(1, 64)),
        )
    )
    case = _with(random, "broken string content", name, ("BYTES", (1, 1), raw))
    return Case(case.kind, case.request, FIELDS)


def not_utf8(random: Random) -> Case:
    """Strings that are not UTF-8."""
    name = random.choice(STRINGS)
    return _with(random, "not UTF-8", name, ("BYTES", (1, 1), texts(random.choice(NOT_UTF8))))


def odd_text(random: Random) -> Case:
    """Ids nobody has: zero bytes, very long ones, code."""
    name = random.choice(("user_id", "history", "allow", "exclude"))
    value = random.choice(
        (
            b"\x00",
            b"a\x00b",
            b"x" * 100_000,
            "🎬".encode() * 50,
            b"' OR 1=1 --",
            b"../../etc",
            b"{}",
        )
    )
    case = _with(random, "odd id", name, ("BYTES", (1, 1), texts(value)))
    return Case(case.kind, case.request, case.fields, may_pass=True)


def random_text(random: Random) -> Case:
    """Any bytes."""
    name = random.choice(STRINGS)
    value = random.randbytes(random.randint(1, 40))
    case = _with(random, "random bytes", name, ("BYTES", (1, 1), texts(value)))
    return Case(case.kind, case.request, case.fields, may_pass=True)


def attribute(random: Random) -> Case:
    """Attributes without name, value or sense."""
    value = random.choice((b"age", b"=", b"=x", b"age=", b"age=old", b"age=1e999", b"age=nan"))
    value = random.choice((value, b"age=" + b"9" * 5000, b"age=-5", b"no such=thing"))
    case = _with(random, "odd attribute", "attributes", ("BYTES", (1, 1), texts(value)))
    return Case(case.kind, case.request, case.fields, may_pass=True)


def timestamps(random: Random) -> Case:
    """Times before 1970, or known for some events only."""
    values = random.choice(((-1, 5), (0, 5), (5, 0), (-(2**63), 1), (2**63 - 1, 0)))
    tensors = good(random, rows=1) | {
        "history": ("BYTES", (1, 2), texts(b"1", b"2")),
        "history_timestamp": ("INT64", (1, 2), ints(*values)),
    }
    return Case("times mixed or negative", message(MODEL, tensors), ("history_timestamp",))


def beside_history(random: Random) -> Case:
    """More times or flags than events."""
    name = random.choice(("history_timestamp", "history_positive"))
    tensors = good(random, rows=1) | {
        "history": ("BYTES", (1, 2), texts(b"1", b"2")),
        name: ("INT64", (1, 3), ints(1, 2, 3))
        if name == "history_timestamp"
        else ("BOOL", (1, 3), b"\1\1\1"),
    }
    return Case("longer than history", message(MODEL, tensors), (name,))


def long_list(random: Random) -> Case:
    """Lists beyond the limit."""
    name, count = random.choice(LISTS), random.choice((10_001, 20_000, 50_000))
    raw = texts(*(b"1",) * count)
    return _with(random, "list too long", name, ("BYTES", (1, count), raw))


def trace_id(random: Random) -> Case:
    """Names that are too long or not printable."""
    value = random.choice((b"x" * 65, b"a\nb", b"\x1b[31m", b"\x00", "a\u2028b".encode()))
    return _with(random, "trace_id not allowed", "trace_id", ("BYTES", (1, 1), texts(value)))


MAKERS: tuple[Maker, ...] = (
    k_out_of_range,
    wrong_shape,
    odd_dimension,
    rows_differ,
    too_many_rows,
    wrong_type,
    wrong_size,
    broken_strings,
    not_utf8,
    odd_text,
    random_text,
    attribute,
    timestamps,
    beside_history,
    trace_id,
)
RARE: tuple[Maker, ...] = (long_list,)
"""Large ones: one in a while."""
