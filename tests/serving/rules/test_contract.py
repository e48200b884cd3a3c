"""What every rule promises: a new file in serving/rules is tested by being there."""

from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint import plugins
from serving import rule_options
from serving.engine import item_table
from serving.engine.catalogue import Catalogue
from serving.engine.rule_set import RULES
from serving.rule_options import RuleOptions
from serving.rules._options import Options
from serving.rules._rule import Candidates, Row, Rule
from serving.spec import InvalidInput
from tests.serving import tiny

NAMES = plugins.names(RULES)
RNG = np.random.default_rng(3)
VECTORS = RNG.normal(size=(len(tiny.ITEMS), 4)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)
VECTORS[4] = 0  # Nothing is known about this one.
VECTORS[7] = VECTORS[6]  # These two are the same.
CATALOGUE = Catalogue(
    item_table.table(
        tiny.ITEMS,
        attributes=tiny.ATTRIBUTES,
        available_until=[None] * 11 + [1_000_000],
    ),
    VECTORS,
)
EXAMPLES = [
    pytest.param(name, options, id=f"{name} {options}")
    for name in NAMES
    for options in plugins.load(RULES, name).EXAMPLES
]


def module(name: str) -> ModuleType:
    return plugins.load(RULES, name)


def rule(name: str, options: dict[str, Any]) -> Rule:
    made: Rule = module(name).parse(Options(f"rules.{name}", options))
    return made


def candidates(items: list[int], scores: list[float]) -> Candidates:
    score = np.sort(np.array(scores[: len(items)], dtype=np.float64))[::-1]
    item = np.array(items, dtype=np.int64)
    return Candidates(item, score, score, np.arange(len(items)))


def row(k: int, given: Candidates, trace_id: str = "t", seen: tuple[int, ...] = (1, 3)) -> Row:
    history = np.array(seen, dtype=np.int64)
    spread = float(given.score.std()) if len(given) else 0.0
    return Row(k, trace_id, liked=history, seen=history, catalogue=CATALOGUE, spread=spread)


LISTS = st.permutations(list(range(1, 13))).flatmap(
    lambda items: st.tuples(
        st.integers(0, 12).map(lambda n: items[:n]),
        st.lists(st.floats(-10, 10), min_size=12, max_size=12),
        st.integers(1, 12),
    )
)


def test_there_are_the_rules_of_the_design() -> None:
    wanted = {"availability", "category", "seen", "boost", "mmr", "dpp", "xquad", "explore", "cap"}
    assert wanted <= set(NAMES)
    orders = [module(name).ORDER for name in NAMES]
    assert len(set(orders)) == len(orders)


@pytest.mark.parametrize(("name", "options"), EXAMPLES)
@settings(max_examples=25, deadline=None)
@given(LISTS)
def test_a_rule_only_reorders_and_leaves_out(
    name: str, options: dict[str, Any], drawn: tuple[list[int], list[float], int]
) -> None:
    items, scores, k = drawn
    before = candidates(items, scores)
    context = row(k, before)
    after, trace = rule(name, options).rerank(before, context)
    again, same = rule(name, options).rerank(before, context)
    assert isinstance(trace, dict)
    assert same == trace
    for field in ("item", "score", "utility", "place"):
        np.testing.assert_array_equal(getattr(after, field), getattr(again, field))
    assert len(set(after.item.tolist())) == len(after)
    assert set(after.item.tolist()) <= set(items)
    original = {
        item: (score, place)
        for place, (item, score) in enumerate(zip(items, before.score, strict=True))
    }
    found = zip(after.item.tolist(), after.score, after.place, strict=True)
    assert all(original[item] == (score, place) for item, score, place in found)
    assert np.isfinite(after.utility).all()
    assert (np.diff(after.utility) <= 0).all()
    if after.propensity is not None:
        assert ((after.propensity[:k] > 0) & (after.propensity[:k] <= 1)).all()


@pytest.mark.parametrize(("name", "options"), EXAMPLES)
def test_an_empty_list_stays_empty(name: str, options: dict[str, Any]) -> None:
    nothing = candidates([], [])
    after, trace = rule(name, options).rerank(nothing, row(5, nothing))
    assert len(after) == 0
    assert isinstance(trace, dict)


@pytest.mark.parametrize(("name", "options"), EXAMPLES)
def test_an_unknown_option_is_refused_by_field(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=rf"^rules\.{name}: 'wieght' is no option; options are"):
        rule(name, {**options, "wieght": 1})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrong", [3, "x", [], True])
def test_options_must_be_an_object(name: str, wrong: object) -> None:
    with pytest.raises(InvalidInput, match=rf"^rules\.{name}: "):
        module(name).parse(Options(f"rules.{name}", wrong))


@pytest.mark.parametrize(("name", "options"), EXAMPLES)
@pytest.mark.parametrize("wrong", [None, {"a": None}, [None], "\ud800", 10**400, -1, True, [[]]])
def test_a_value_of_a_wrong_kind_is_refused_by_field_or_understood(
    name: str, options: dict[str, Any], wrong: object
) -> None:
    """No value of any kind makes a rule fail in another way than by naming the field."""
    for option in options:
        try:
            rule(name, {**options, option: wrong})
        except InvalidInput as error:
            assert str(error).startswith(f"rules.{name}.{option}: ")
            str(error).encode()


@pytest.mark.parametrize(("name", "options"), EXAMPLES)
def test_a_filter_says_what_it_allows(name: str, options: dict[str, Any]) -> None:
    made = rule(name, options)
    mask, until = made.allowed(CATALOGUE, 2_000_000)
    assert made.filters or mask is None
    assert mask is None or mask.shape == (len(CATALOGUE),)
    assert until > 2_000_000


@pytest.mark.parametrize("name", NAMES)
def test_the_clients_have_a_typed_form(name: str) -> None:
    typed = {kind.rule(): kind for kind in RuleOptions.__subclasses__()}
    kind = typed[name]
    for options in module(name).EXAMPLES:
        made = kind(**options) if options.get("at") != "now" else kind()
        sent = rule_options.encode([made])
        assert sent.startswith(f'{{"{name}": ')
        rule(name, made.options() if "at" not in options else options)


def test_the_propensity_survives_what_follows() -> None:
    before = candidates([1, 2, 3, 4, 6], [5, 4, 3, 2, 1])
    drawn, _ = rule("explore", {}).rerank(before, row(5, before))
    assert drawn.propensity is not None
    turned = drawn.take(np.array([1, 0, 2, 3, 4]))
    assert turned.propensity is not None
    assert turned.propensity[0] == drawn.propensity[1]
    assert replace(drawn).item is drawn.item
