"""The front `recommend` and the code it stands on, in this process."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.in_process import InProcess
from serving.models import recommend
from serving.spec import Arrays, InvalidInput
from tests.serving import tiny

# Without the trace id, which differs from request to request.
OUTPUTS = [tensor.name for tensor in recommend.SPEC.outputs if tensor.name != "trace_id"]
DTYPES: dict[str, Any] = {
    "history_timestamp": np.int64,
    "history_positive": np.bool_,
    "k": np.int32,
}


def request(**fields: Any) -> Arrays:
    """Tensors of one row; lists of strings become BYTES."""
    tensors = {}
    for name, value in fields.items():
        if name in DTYPES:
            tensors[name] = np.array([value], dtype=DTYPES[name]).reshape(1, -1)
        else:
            values = [value] if isinstance(value, str) else value
            row = [v.encode() if isinstance(v, str) else v for v in values]
            tensors[name] = np.array([row], dtype=object).reshape(1, -1)
    return tensors


def ask(models: InProcess, **fields: Any) -> dict[str, Any]:
    answer = models.call("recommend", request(**({"k": 10} | fields)), OUTPUTS)
    return {n: _strings(v[0]) if v.dtype == object else v[0].tolist() for n, v in answer.items()}


def _strings(values: Any) -> list[Any]:
    return [_strings(v) if isinstance(v, np.ndarray) else v.decode() for v in values]


def test_a_known_user_gets_what_the_same_history_gets(local: InProcess) -> None:
    known = ask(local, user_id="anna")
    same = ask(
        local,
        history=["a", "b", "ünï"],
        history_positive=[True, True, False],
        attributes=["gender=F"],
    )
    assert known["source"] == ["known_user"]
    assert same["source"] == ["history"]
    assert known["item_id"] == same["item_id"]
    assert known["score"] == same["score"]
    assert not set(known["item_id"]) & {"a", "b", "ünï"}
    assert known["model_version"] == ["v1"]
    assert known["degraded"] == [False]


def test_titles_and_reasons_belong_to_the_items(local: InProcess) -> None:
    answer = ask(local, history=["日本", "🎬"])
    assert answer["title"] == [
        item if item == "a" else f"Title of {item}" for item in answer["item_id"]
    ]
    reasons = [reason for reason in answer["reason"] if reason[0]]
    assert reasons
    assert {name for reason in reasons for name in reason} <= {"日本", "🎬", ""}


def test_sources_and_unknown_names(local: InProcess) -> None:
    assert ask(local)["source"] == ["start_page"]
    stranger = ask(local, user_id="nobody", history=["nope"], exclude=["gone", "a", "nope"])
    assert stranger["source"] == ["start_page"]
    assert stranger["unknown_item"] == ["nope", "gone"]
    assert "a" not in stranger["item_id"]
    answer = ask(local, attributes=["age=31", "colour=red"])
    assert answer["source"] == ["attributes"]
    assert answer["unknown_attribute"] == ["colour=red"]
    assert ask(local, user_id="profile only")["source"] == ["known_user"]


def test_raw_numbers_are_binned_like_the_training_data(local: InProcess) -> None:
    raw, binned = (ask(local, attributes=[a]) for a in ("age=31", "age=25-34"))
    assert raw == binned
    assert raw["score"] != ask(local, attributes=["age=20"])["score"]


def test_an_attribute_of_the_request_replaces_the_stored_one(local: InProcess) -> None:
    moved = ask(local, user_id="profile only", attributes=["age=20"])
    assert moved["score"] == ask(local, attributes=["age=20"])["score"]


def test_the_request_continues_the_stored_history(local: InProcess) -> None:
    both = ask(local, user_id="бо́рис", history=["e"])
    assert both["item_id"] == ask(local, history=["日本", "e"])["item_id"]


def test_timestamps_give_the_order(local: InProcess) -> None:
    ordered = ask(local, history=["a", "b", "e"])
    shuffled = ask(local, history=["e", "a", "", "b"], history_timestamp=[30, 10, 0, 20])
    assert ordered["score"] == shuffled["score"]


def test_more_than_is_left_gives_what_is_left(local: InProcess) -> None:
    assert len(ask(local, k=tiny.MAX_K)["item_id"]) == len(tiny.ITEMS)
    assert ask(local, user_id="everything", k=5)["item_id"] == []


def test_a_history_longer_than_the_graph_reads_stays_excluded(local: InProcess) -> None:
    answer = ask(local, history=tiny.ITEMS[:10], k=tiny.MAX_K)
    assert set(answer["item_id"]) == set(tiny.ITEMS[10:])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"k": 0}, "k: 0 is out of range; allowed are 1 to 20"),
        ({"k": tiny.MAX_K + 1}, "k: 21"),
        ({"k": -5}, "k: -5"),
        ({"attributes": ["age"]}, "attributes: 'age'"),
        ({"attributes": ["age=old"]}, "attributes: age='old'"),
        ({"attributes": ["=5"]}, "attributes: '=5'"),
        ({"history": [b"\xff\xfe"]}, "history: .* is not UTF-8"),
        ({"user_id": [b"\xc3"]}, "user_id: .* is not UTF-8"),
        ({"history": ["a"], "history_positive": [True, False]}, "history_positive: shape"),
        ({"history_positive": [True]}, "history_positive: shape"),
        ({"history": ["a", "b"], "history_timestamp": [5, 0]}, "history_timestamp: "),
        ({"history": ["a"], "history_timestamp": [-5]}, "history_timestamp: "),
        ({"exclude": ["x"] * 10_001}, "exclude: shape"),
    ],
)
def test_bad_input_is_refused_by_field(
    local: InProcess, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        ask(local, **fields)


ROWS = st.fixed_dictionaries(
    {
        "user_id": st.sampled_from(["", "anna", "long", "everything", "nobody", "бо́рис"]),
        "history": st.lists(st.sampled_from([*tiny.ITEMS, "nope", ""]), max_size=9),
        "attributes": st.lists(st.sampled_from([*tiny.PROFILE, "age=19", "x=y"]), max_size=3),
        "exclude": st.lists(st.sampled_from(tiny.ITEMS), max_size=3),
        "k": st.integers(1, tiny.MAX_K),
    }
)


@settings(max_examples=40, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=5), st.booleans())
def test_sharing_an_execution_changes_no_answer(
    local: InProcess, rows: list[dict[str, Any]], with_a_bad_one: bool
) -> None:
    """Requests of any shapes batched by Triton get what each gets alone; a bad one fails alone."""
    runtime = local.runtime("recommend", local.call)
    requests = [request(**row) for row in rows]
    bad = [request(k=0)] if with_a_bad_one else []
    together = runtime.execute([*bad, *requests])
    if bad:
        assert isinstance(together[0], InvalidInput)
    for row, alone, shared in zip(rows, requests, together[len(bad) :], strict=True):
        single = runtime.execute([alone])[0]
        assert not isinstance(single, InvalidInput)
        assert not isinstance(shared, InvalidInput)
        for name in OUTPUTS:
            if name == "score":
                np.testing.assert_allclose(single[name], shared[name], atol=1e-5)
            else:
                assert single[name].tolist() == shared[name].tolist(), name
        items = {i.decode() for i in single["item_id"][0]}
        assert not items & {*row["history"], *row["exclude"]}


def test_several_rows_of_one_request_are_padded(local: InProcess) -> None:
    rows = {
        "history": np.array([[b"a", b""], [b"b", b"e"]], dtype=object),
        "k": np.array([[1], [3]], np.int32),
    }
    answer = local.call("recommend", rows, OUTPUTS)
    assert answer["item_id"].shape == (2, 3)
    assert answer["item_id"][0, 1:].tolist() == [b"", b""]
    single = ask(local, history=["b", "e"], k=3)
    assert [i.decode() for i in answer["item_id"][1]] == single["item_id"]


def test_the_encoder_tokenises_and_normalises(local: InProcess) -> None:
    text = np.array([[b"space drama"], ["ünknown".encode()], [b""]], dtype=object)
    vector = local.call("encode", {"text": text}, ["vector"])["vector"]
    assert vector.shape == (3, 5)
    np.testing.assert_allclose(np.linalg.norm(vector[:2], axis=1), 1, atol=1e-6)
