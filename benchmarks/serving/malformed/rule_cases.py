"""Requests of `recommend` whose ``rules`` are wrong: no JSON, no rule, options of other kinds."""

import json
from random import Random
from typing import Any

from benchmarks.serving.malformed.case import Case, Maker, ints, message, texts

OPTIONS = {
    "availability": ("at",),
    "category": ("any", "none"),
    "rerank": ("weight", "depth"),
    "seen": ("policy", "penalty"),
    "boost": ("items", "attributes"),
    "mmr": ("weight", "depth"),
    "dpp": ("weight", "depth"),
    "xquad": ("attribute", "weight", "depth"),
    "explore": ("temperature", "depth", "seed"),
    "cap": ("attribute", "most"),
}
WRONG: tuple[Any, ...] = (
    None, True, -1, 0, 0.5, 1e308, -1e308, 10**18, "", "x", "nan", "\u0000", "\ud800", "🎬" * 40,
    [], [1], [None], ["x"], ["="], ["\ud800=\ud800"], ["a=b"] * 3, [[[]]], {}, {"x": 1},
    {"genre=Drama": 1e9}, {"\ud800": 1}, {"": None}, {"genre=Drama": "x"}, {"x": {"y": {}}},
)  # fmt: skip
LITERALS = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "-1e999",
    "9" * 5000,
    "0" * 10,
    "01",
    "+1",
    ".5",
)
BROKEN = (
    "", "{", "}", "[", '{"mmr"', '{"mmr":', '{"mmr": {}', "{mmr: {}}", "{'mmr': {}}",
    '{"mmr": {},}',
    "nul", "true", "[]", "1", '"x"', "[{}]", '{"mmr": {}} {}', '{"mmr": {}, "mmr": {}}', "\x00",
    '{"\\ud800": {}}', '{"\\u0000": {}}', '{"mmr": "\\ud800"}', "\ufeff{}", "/**/{}", "{}#",
)  # fmt: skip


def _case(kind: str, raw: bytes, field: str = "rules", *, may_pass: bool = False) -> Case:
    tensors = {
        "user_id": ("BYTES", (1, 1), texts(b"1")),
        "k": ("INT32", (1, 1), ints(5, code="i")),
        "rules": ("BYTES", (1, 1), texts(raw)),
    }
    return Case(kind, message("recommend", tensors), (field,), may_pass)


def no_json(random: Random) -> Case:
    """Text that is no object of rules."""
    text = random.choice(BROKEN)
    return _case("rules: not an object of rules", text.encode(), may_pass=text == "")


def cut(random: Random) -> Case:
    """JSON that ends too soon."""
    whole = json.dumps({"mmr": {"weight": 0.3}, "cap": {"attribute": "genre", "most": 2}})
    return _case("rules: cut JSON", whole[: random.randint(1, len(whole) - 1)].encode())


def disturbed(random: Random) -> Case:
    """JSON with a few other bytes."""
    whole = bytearray(b'{"mmr": {"weight": 0.3}, "boost": {"items": {"1": 2}}}')
    for _ in range(random.randint(1, 4)):
        whole[random.randrange(len(whole))] = random.randrange(256)
    return _case("rules: disturbed JSON", bytes(whole), may_pass=True)


def deep(random: Random) -> Case:
    """Objects and lists within each other."""
    depth = random.choice((100, 990, 1500, 5000, 20_000, 32_000))
    opened = random.choice(("[", '{"a":'))
    text = (opened * depth)[:65_000]
    if random.random() < 0.5:
        text = '{"mmr":' + "[" * depth + "]" * depth + "}"
    return _case("rules: deeply nested", text[:65_536].encode())


def long_text(random: Random) -> Case:
    """More bytes than rules may have."""
    size = random.choice((65_537, 200_000))
    return _case("rules: too long", b'{"boost": {"items": {"' + b"x" * size + b'": 1}}}')


def wrong_option(random: Random) -> Case:
    """One option with a value of any kind."""
    rule = random.choice(list(OPTIONS))
    option = random.choice(OPTIONS[rule])
    body = {rule: {option: random.choice(WRONG)}}
    if rule in ("cap", "xquad") and option != "attribute":
        body[rule]["attribute"] = "genre"
    if rule == "cap" and option != "most":
        body[rule]["most"] = 2
    if rule == "seen" and option != "policy":
        body[rule]["policy"] = "downrank"
    raw = json.dumps(body).encode()
    return _case("rules: odd value of an option", raw, f"rules.{rule}", may_pass=True)


def wrong_rule(random: Random) -> Case:
    """One rule with a value of any kind in place of its options."""
    rule, value = random.choice(list(OPTIONS)), random.choice(WRONG)
    raw = json.dumps({rule: value}).encode()
    return _case("rules: odd value of a rule", raw, f"rules.{rule}", may_pass=True)


def literal(random: Random) -> Case:
    """Numbers that JSON does not have, or that are too great."""
    rule = random.choice(("mmr", "dpp", "explore", "cap", "seen"))
    option = {"explore": "temperature", "cap": "most", "seen": "penalty"}.get(rule, "weight")
    text = f'{{"{rule}": {{"{option}": {random.choice(LITERALS)}}}}}'
    return _case("rules: numbers beyond JSON", text.encode(), "rules")


def unknown(random: Random) -> Case:
    """Rules and options that do not exist."""
    if random.random() < 0.5:
        name = random.choice(("MMR", "mmr ", "", "__class__", "_rule", "_options", "x" * 500))
        return _case("rules: unknown rule", json.dumps({name: {}}).encode())
    rule = random.choice(list(OPTIONS))
    raw = json.dumps({rule: {random.choice(("what", "", "__init__", "where")): 1}}).encode()
    return _case("rules: unknown option", raw, f"rules.{rule}")


def many(random: Random) -> Case:
    """All rules at once, each with a value that may or may not be allowed."""
    body = {
        rule: {option: random.choice(WRONG) for option in options}
        for rule, options in OPTIONS.items()
        if random.random() < 0.4
    }
    return _case("rules: many odd values", json.dumps(body).encode(), may_pass=True)


MAKERS: tuple[Maker, ...] = (
    no_json,
    cut,
    disturbed,
    deep,
    wrong_option,
    wrong_option,
    wrong_rule,
    literal,
    unknown,
    many,
)
RARE: tuple[Maker, ...] = (long_text,)
