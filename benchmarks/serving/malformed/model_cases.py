"""Wrong requests of the other models; none of them changes anything."""

import json
import struct
from random import Random

from benchmarks.serving.malformed.case import Case, Maker, Tensor, ints, message, texts

INTS = ("history", "history_kind", "exclude", "allow", "k")


def similar(random: Random) -> Case:
    """Items, lengths, rules and names that `similar` refuses."""
    wrong: tuple[tuple[str, Tensor], ...] = (
        ("item_id", ("BYTES", (1, 1), texts(b"no such item"))),
        ("item_id", ("BYTES", (1, 1), texts(b"\xff"))),
        ("item_id", ("BYTES", (1, 1), texts(b""))),
        ("k", ("INT32", (1, 1), ints(random.choice((0, -1, 101, 2**31 - 1)), code="i"))),
        ("rules", ("BYTES", (1, 1), texts(b'{"mmr": {"weight": 7}}'))),
        ("trace_id", ("BYTES", (1, 1), texts(b"x" * 65))),
    )
    field, tensor = random.choice(wrong)
    tensors = {"item_id": ("BYTES", (1, 1), texts(b"50")), field: tensor}
    return Case("similar: wrong value", message("similar", tensors), (field,))


def catalogue(random: Random) -> Case:
    """Actions and items that `catalogue` refuses; none is written."""
    item = random.choice((b"", b"{", b"[]", b"\xff", b'{"item_id": 5}', b'{"item_id": ""}', b"{}"))
    item = random.choice((item, b'{"item_id": "\\ud800"}'))
    action = b"add"
    field = "item"
    choice = random.randrange(5)
    if choice == 0:
        action = random.choice((b"", b"drop", b"\xff", b"ADD"))
        field = "action"
    elif choice == 1:
        item = b"[" * 50_000
    elif choice == 2:
        field = random.choice(("available_from", "attributes", "title", "price"))
        wrong = random.choice((5, [["x"]], {"a": {}}, "\x00", ["x"], "soon"))
        item = json.dumps({"item_id": "never added", field: wrong}).encode()
        if field == "title" and wrong == "soon":
            item = json.dumps({"item_id": "never added", "title": "x" * 2000}).encode()
        if field == "attributes" and wrong == "soon":
            item = json.dumps({"item_id": "never added", "attributes": "soon"}).encode()
    tensors = {
        "action": ("BYTES", (1, 1), texts(action)),
        "item": ("BYTES", (1, 1), texts(item)),
    }
    fields = (field, "item", "item_id", "action")
    return Case("catalogue: wrong action or item", message("catalogue", tensors), fields)


def encode(random: Random) -> Case:
    """Texts that are none."""
    raw = random.choice((texts(b"\xff"), texts(b"\xed\xa0\x80"), b"\xff\xff\xff\xff", b""))
    return Case(
        "encode: wrong text", message("encode", {"text": ("BYTES", (1, 1), raw)}), ("text",)
    )


def long_text(random: Random) -> Case:
    """A text of many pages: cut, not refused."""
    raw = texts(b"word " * random.choice((10_000, 200_000)))
    request = message("encode", {"text": ("BYTES", (1, 1), raw)})
    return Case("encode: long text", request, ("text",), may_pass=True)


def graph(random: Random) -> Case:
    """Indices beyond the catalogue, kinds that are none, NaN."""
    tensors: dict[str, Tensor] = {
        "history": ("INT64", (1, 2), ints(1, 2)),
        "history_age": ("FP32", (1, 2), struct.pack("<2f", 1.0, 0.0)),
        "history_kind": ("INT64", (1, 2), ints(1, 1)),
        "profile": ("FP32", (1, 30), bytes(120)),
        "exclude": ("INT64", (1, 1), ints(0)),
        "allow": ("INT64", (1, 1), ints(0)),
        "k": ("INT64", (1, 1), ints(5)),
    }
    name = random.choice((*INTS, "profile", "missing", "nan"))
    value = random.choice((-1, -(2**63), 10**6, 2**62))
    if name == "missing":
        del tensors[random.choice(list(tensors))]
        return Case(
            "recommender: missing input", message("recommender", tensors), ("input", "inputs")
        )
    if name == "nan":
        tensors["history_age"] = ("FP32", (1, 2), struct.pack("<2f", float("nan"), float("inf")))
        request = message("recommender", tensors)
        return Case("recommender: NaN", request, ("history_age",), may_pass=True)
    if name == "profile":
        tensors["profile"] = ("FP32", (1, 7), bytes(28))
    else:
        kind, shape, _ = tensors[name]
        tensors[name] = (kind, shape, ints(*(value,) * shape[1]))
    request = message("recommender", tensors)
    return Case("recommender: index out of range", request, (name,))


def encoder(random: Random) -> Case:
    """Tokens that the language model does not have, masks of another length."""
    tokens = random.choice((-1, 10**6, 2**62, -(2**63)))
    tensors: dict[str, Tensor] = {
        "input_ids": ("INT64", (1, 2), ints(tokens, 1)),
        "attention_mask": ("INT64", (1, 2), ints(1, 1)),
    }
    field = "input_ids"
    if random.random() < 0.3:
        tensors["input_ids"] = ("INT64", (1, 3), ints(1, 2, 3))
        field = "attention_mask"
    request = message("item_encoder", tensors)
    return Case("item_encoder: tokens out of range", request, (field, "input_ids"))


MAKERS: tuple[Maker, ...] = (similar, catalogue, encode, graph, encoder)
RARE: tuple[Maker, ...] = (long_text,)
