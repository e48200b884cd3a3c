"""Rules, allow and exclude lists through the front `recommend`, in this process."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint.config.serve import DeployConfig
from counterpoint.errors import ConfigError
from serving import model_options
from serving.engine.rule_set import MAX_BYTES
from serving.in_process import InProcess
from serving.spec import InvalidInput
from tests.serving import tiny
from tests.serving.test_recommend import OUTPUTS, ask, request

GENRES = {
    item: {t for t in tokens if t.startswith("genre=")}
    for item, tokens in zip(tiny.ITEMS, tiny.ATTRIBUTES, strict=True)
}


def rules(**given: Any) -> str:
    return json.dumps(given)


def test_a_filtered_list_is_what_is_left_of_the_whole_ranking(local: InProcess) -> None:
    """Filters are part of the question: no filtered list is shorter than need be."""
    everything = ask(local, history=["a"], k=tiny.MAX_K)
    score = dict(zip(everything["item_id"], everything["score"], strict=True))
    reason = dict(zip(everything["item_id"], everything["reason"], strict=True))
    for category in (
        {"any": ["genre=Drama"]},
        {"none": ["genre=Drama"]},
        {"any": ["genre=Horror", "genre=Comedy"], "none": ["mood=dark"]},
    ):
        kept = [
            item
            for item in everything["item_id"]
            if (not category.get("any") or set(category["any"]) & tokens(item))
            and not set(category.get("none", ())) & tokens(item)
        ]
        answer = ask(local, history=["a"], k=3, rules=rules(category=category))
        assert answer["item_id"] == kept[:3]
        np.testing.assert_allclose(answer["score"], [score[i] for i in kept[:3]], atol=1e-5)
        assert answer["reason"] == [reason[i] for i in kept[:3]]


def tokens(item: str) -> set[str]:
    return set(tiny.ATTRIBUTES[tiny.ITEMS.index(item)])


ANY_RULES = st.fixed_dictionaries(
    {},
    optional={
        "category": st.sampled_from([{"any": ["genre=Drama"]}, {"none": ["genre=Comedy"]}]),
        "seen": st.sampled_from([{"policy": p} for p in ("exclude", "allow", "downrank")]),
        "boost": st.sampled_from([{"items": {"日本": 9}}, {"attributes": {"genre=Horror": -2}}]),
        "mmr": st.just({"weight": 0.8}),
        "dpp": st.just({"weight": 0.5}),
        "xquad": st.just({"attribute": "genre"}),
        "explore": st.sampled_from([{"temperature": 3, "seed": 4}, {"depth": 2}]),
        "cap": st.sampled_from([{"attribute": "genre", "most": m} for m in (1, 2)]),
    },
)
LISTS = st.lists(st.sampled_from([*tiny.ITEMS, "nope"]), max_size=5)


@settings(max_examples=80, deadline=None)
@given(ANY_RULES, LISTS, LISTS, LISTS, st.integers(1, 12))
def test_whatever_the_rules_nothing_barred_is_shown(
    local: InProcess,
    given_rules: dict[str, Any],
    history: list[str],
    allow: list[str],
    exclude: list[str],
    k: int,
) -> None:
    fields = {"history": history, "allow": allow, "exclude": exclude, "k": k}
    answer = ask(local, rules=json.dumps(given_rules), **fields)
    shown = answer["item_id"]
    assert len(shown) == len(set(shown)) <= k
    assert not set(shown) & set(exclude)
    assert not any(allow) or set(shown) <= set(allow)
    category = given_rules.get("category", {})
    assert all(set(category["any"]) & tokens(i) for i in shown if "any" in category)
    assert not any(set(category["none"]) & tokens(i) for i in shown if "none" in category)
    if given_rules.get("seen", {"policy": "exclude"})["policy"] == "exclude":
        assert not set(shown) & set(history)
    most = given_rules.get("cap", {}).get("most", 99)
    counts = [sum(g in GENRES[i] for i in shown) for g in ("genre=Drama", "genre=Comedy")]
    assert max(counts) <= most
    assert {name for reason in answer["reason"] for name in reason} <= {*history, ""}
    drawn = "explore" in given_rules
    assert all((0 < p <= 1) if drawn else p == -1 for p in answer["propensity"])
    trace = json.loads(answer["trace"][0])
    assert {entry["rule"] for entry in trace} == {"availability", *given_rules}
    assert answer == ask(local, rules=json.dumps(given_rules), **fields)


def test_reasons_stay_with_their_items_when_rules_reorder(local: InProcess) -> None:
    plain = ask(local, history=["日本", "🎬", "b"])
    reason = dict(zip(plain["item_id"], plain["reason"], strict=True))
    title = dict(zip(plain["item_id"], plain["title"], strict=True))
    turned = ask(
        local,
        history=["日本", "🎬", "b"],
        rules=rules(explore={"temperature": 50, "seed": 1}, mmr={"weight": 0.9}),
    )
    assert turned["item_id"] != plain["item_id"]
    assert turned["reason"] == [reason[item] for item in turned["item_id"]]
    assert turned["title"] == [title[item] for item in turned["item_id"]]


def test_a_boost_reaches_below_the_candidates(local: InProcess) -> None:
    everything = ask(local, history=["a"], k=tiny.MAX_K)["item_id"]
    last = everything[-1]
    up = ask(local, history=["a"], k=2, rules=rules(boost={"items": {last: 50}}))
    assert up["item_id"][0] == last
    only = ask(
        local, history=["a"], k=9, allow=everything[:3], rules=rules(boost={"items": {last: 50}})
    )
    assert sorted(only["item_id"]) == sorted(everything[:3])
    down = ask(local, history=["a"], k=20, rules=rules(boost={"items": {everything[0]: -50}}))
    assert down["item_id"] == [*everything[1:], everything[0]]


def test_seen_items_may_come_back(local: InProcess) -> None:
    history = ["a", "b", "ünï"]
    barred = ask(local, history=history, k=20)
    assert not set(history) & set(barred["item_id"])
    back = ask(local, history=history, k=20, rules=rules(seen={"policy": "allow"}))
    assert set(back["item_id"]) == set(tiny.ITEMS)
    assert [i for i in back["item_id"] if i not in history] == barred["item_id"]
    down = ask(
        local, history=history, k=20, rules=rules(seen={"policy": "downrank", "penalty": 99})
    )
    assert down["item_id"][:9] == barred["item_id"]
    assert set(down["item_id"][9:]) == set(history)
    # A history that is longer than what the graph reads comes back as a whole, too.
    long = ask(local, history=tiny.ITEMS[:10], k=20, rules=rules(seen={"policy": "allow"}))
    assert set(long["item_id"]) == set(tiny.ITEMS)


def test_availability_looks_at_the_clock_that_is_asked_for(local: InProcess) -> None:
    """Every second tiny item is available from 1990 on."""
    early = ask(local, k=20, rules=rules(availability={"at": "1985-06-01T00:00:00Z"}))
    assert set(early["item_id"]) == set(tiny.ITEMS[::2])
    late = ask(local, k=20)
    assert set(late["item_id"]) == set(tiny.ITEMS)
    assert json.loads(late["trace"][0]) == [{"rule": "availability", "before": 12, "after": 12}]
    none = ask(local, k=20, rules=rules(availability=None))
    assert json.loads(none["trace"][0]) == []


def test_an_allow_list_of_unknown_items_allows_nothing(local: InProcess) -> None:
    answer = ask(local, allow=["nope", "gone"])
    assert answer["item_id"] == []
    assert answer["unknown_item"] == ["nope", "gone"]
    assert ask(local, allow=["", ""])["item_id"] == ask(local)["item_id"]
    assert ask(local, allow=["a"], exclude=["a"])["item_id"] == []
    nothing = ask(local, rules=rules(category={"any": ["genre=None of them"]}))
    assert nothing["item_id"] == []


def test_each_row_has_its_own_rules_or_all_share_one(local: InProcess) -> None:
    drama, horror = (rules(category={"any": [f"genre={g}"]}) for g in ("Drama", "Horror"))
    k = np.full((2, 1), 3, np.int32)
    both = np.array([[drama.encode()], [horror.encode()]], dtype=object)
    answer = local.call("recommend", {"rules": both, "k": k}, ["item_id"])["item_id"]
    for row, text in zip(answer, (drama, horror), strict=True):
        assert [i.decode() for i in row] == ask(local, rules=text, k=3)["item_id"]
    shared = local.call("recommend", {"rules": both[:1], "k": k}, ["item_id"])["item_id"]
    assert shared[0].tolist() == shared[1].tolist() == answer[0].tolist()
    three = np.array([[b""]] * 3, dtype=object)
    with pytest.raises(InvalidInput, match=r"^rules: shape \[3, 1\] is not allowed"):
        local.call("recommend", {"rules": three, "k": k}, ["item_id"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "rules: '?b'{'.* is not JSON"),
        (b"\xff", "rules: .* is not JSON"),
        ("[1]", r"rules: \[1\] is not an object"),
        ("NaN", "rules: .* is not JSON"),
        ('{"cap": {"attribute": "genre", "most": NaN}}', "rules: .* is not JSON"),
        ('{"mmr": {}, "mmr": {}}', "rules: .* occurs twice"),
        ("[" * 60_000, "rules: "),
        ("1" * 5000, "rules: .* is not JSON"),
        (" " * (MAX_BYTES + 1), f"rules: {MAX_BYTES + 1} bytes are too many"),
        ('{"nope": {}}', "rules: 'nope' is no rule; rules are availability, boost"),
        (r'{"\ud800": {}}', r"rules: '\\ud800' is no rule"),
        ('{"cap": {"attribute": "genre", "most": 0}}', r"rules\.cap\.most: 0 is not allowed"),
        ('{"cap": {"attribute": "genre"}}', r"rules\.cap\.most: a value is needed"),
        (r'{"cap": {"attribute": "\ud800", "most": 1}}', r"rules\.cap\.attribute: .* not a text"),
        (r'{"xquad": {"attribute": "\udfff"}}', r"rules\.xquad\.attribute: .* not a text"),
        (r'{"category": {"any": ["\ud800=x"]}}', r"rules\.category\.any: .* is not a list"),
        (r'{"boost": {"items": {"\ud800": 1}}}', r"rules\.boost\.items: .* is not a text"),
        ('{"cap": {"attribute": 5, "most": 1}}', r"rules\.cap\.attribute: 5 is not a text"),
        ('{"mmr": {"weight": 1.5}}', r"rules\.mmr\.weight: 1\.5 is out of range"),
        ('{"boost": {"items": {"a": 1e9}}}', r"rules\.boost\.items: 1000000000\.0 of 'a'"),
        ('{"boost": {}}', r"rules\.boost: nothing is named"),
        ('{"seen": {"policy": "forget"}}', r"rules\.seen\.policy: 'forget' is not allowed"),
        ('{"seen": {"policy": "allow", "penalty": 1}}', r"rules\.seen\.penalty: only"),
        ('{"availability": {"at": "soon"}}', r"rules\.availability\.at: 'soon' is not a time"),
        ('{"availability": {"at": "2026-01-01"}}', r"rules\.availability\.at: .* no offset"),
        ('{"category": {"any": ["Drama"]}}', r"rules\.category\.any: 'Drama' is not of the form"),
        ('{"explore": {"temperature": 0}}', r"rules\.explore\.temperature: 0 is out of range"),
    ],
)
def test_wrong_rules_are_refused_by_field(
    local: InProcess, text: str | bytes, message: str
) -> None:
    raw = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(InvalidInput, match=rf"^{message}"):
        ask(local, rules=[raw])


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=60)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["cap", "mmr", "boost", "explore", "items", "most", "weight", "x"]),
                inner,
                max_size=3,
            )
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode())
)
def test_rules_of_any_kind_are_answered_or_refused_by_field(local: InProcess, raw: bytes) -> None:
    runtime = local.runtime("recommend", local.call)
    (answer,) = runtime.execute([request(rules=[raw], k=3)])
    assert not isinstance(answer, InvalidInput) or str(answer).startswith("rules")


def test_a_named_question_is_answered_alike(local: InProcess) -> None:
    explored = rules(explore={"temperature": 9})
    one, two, other = (
        ask(local, rules=explored, trace_id=name) for name in ("one", "one", "other")
    )
    assert one == two
    assert one["trace_id"] == ["one"]
    assert one["item_id"] != other["item_id"]
    names = {ask(local, trace_id="")["trace_id"][0] for _ in range(3)}
    assert len(names) == 3
    assert all(len(name) == 32 and int(name, 16) for name in names)
    with pytest.raises(InvalidInput, match=r"^trace_id: "):
        ask(local, trace_id="x" * 65)


def test_rows_of_different_numbers_are_refused_by_field(local: InProcess) -> None:
    tensors = {"k": np.array([[3], [3]], np.int32), "user_id": np.array([[b"a"]], dtype=object)}
    with pytest.raises(InvalidInput, match=r"^user_id: 1 rows do not match"):
        local.call("recommend", tensors, OUTPUTS)
    with pytest.raises(InvalidInput, match=r"^k: the request has no row"):
        local.call("recommend", {"k": np.empty((0, 1), np.int32)}, OUTPUTS)


def test_rules_of_the_configuration_hold_unless_a_request_names_them(
    folders: dict[str, Any], tmp_path: Any
) -> None:
    from tests.serving.conftest import in_process

    config = DeployConfig(rules={"cap": {"attribute": "genre", "most": 1}})
    options = model_options.options(config, "v1")
    capped = in_process(folders, tmp_path / "models", options)
    assert len(ask(capped, k=20)["item_id"]) < len(tiny.ITEMS)
    assert len(ask(capped, k=20, rules=rules(cap=None))["item_id"]) == len(tiny.ITEMS)
    broken = DeployConfig(rules={"cap": {"most": 1}})
    with pytest.raises(ConfigError, match=r"deploy\.rules\.cap\.attribute: a value is needed"):
        model_options.options(broken, "v1")
