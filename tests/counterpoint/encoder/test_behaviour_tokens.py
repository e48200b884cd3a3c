import numpy as np
import polars as pl
import pytest

from counterpoint.behaviour_text import history_text
from counterpoint.encoder import behaviour_tokens
from counterpoint.encoder.behaviour_tokens import NONE, Behaviour
from counterpoint.histories import Histories
from tests.counterpoint.encoder import tastes

TEXTS = ["mars space", "", "[MASK] wheat [SEP]", "unreally farm", "mars space", "rice " * 10_000]


def histories(*items: list[int], attributes: list[list[str]] | None = None) -> Histories:
    lengths = [len(row) for row in items]
    events = np.array([item for row in items for item in row], dtype=np.int64)
    return Histories(
        [f"u{n}" for n in range(len(items))],
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        events,
        np.arange(len(events)) % 2 == 0,
        np.arange(len(events)),
        attributes or (),
    )


def build(given: Histories, texts: list[str] = TEXTS, **options: int) -> Behaviour:
    limits = {"item_tokens": 16, "line_tokens": 24, **options}
    return behaviour_tokens.build(given, texts, tastes.tokenizer(), prompt="", **limits)


def shown(behaviour: Behaviour, user: int, max_tokens: int) -> str:
    window = behaviour.window(user, int(behaviour.indptr[user + 1]), max_tokens)
    return tastes.tokenizer().decode(window.ids)


def test_a_window_is_the_rendered_text_between_special_tokens() -> None:
    given = histories([0, 1, 3, 4], attributes=[["club=space", "user=rice"]])
    words = tastes.tokenizer()
    text = history_text(
        [TEXTS[item] for item in given.items],
        given.positive.tolist(),
        given.attributes[0],
        count=lambda text: len(words(text, add_special_tokens=False)["input_ids"]),
        max_tokens=94,
    )
    behaviour = build(given)
    window = behaviour.window(0, int(behaviour.indptr[1]), 96)
    assert text.startswith("User: club: space") and text.count("\n") == 4
    assert window.ids.tolist() == words(text)["input_ids"]
    assert window.profile and len(window.texts) == 3


@pytest.mark.parametrize("max_tokens", [16, 20, 30, 40, 60])
def test_the_newest_events_are_kept_within_the_budget(max_tokens) -> None:
    behaviour = build(histories([0, 3] * 10, attributes=[["club=space"]]), line_tokens=8)
    window = behaviour.window(0, 20, max_tokens)
    assert len(window.ids) <= max_tokens
    count = len(window.texts)
    assert count >= 1
    np.testing.assert_array_equal(window.texts, behaviour.text[20 - count : 20])
    earlier = behaviour.window(0, 7, max_tokens)
    np.testing.assert_array_equal(earlier.texts, behaviour.text[7 - len(earlier.texts) : 7])


def test_marks_tell_items_words_and_special_tokens_apart() -> None:
    behaviour = build(histories([0, 3]))
    window = behaviour.window(0, 2, 96)
    tokens = tastes.tokenizer().convert_ids_to_tokens(window.ids)
    of_event = [[t for t, e in zip(tokens, window.events, strict=True) if e == n] for n in (0, 1)]
    assert of_event == [["mars", "space"], ["un", "##real", "##ly", "farm"]]
    assert (window.words[[0, -1]] == NONE).all() and (window.words[1:-1] >= 0).all()
    parts = window.words[[tokens.index(part) for part in ("un", "##real", "##ly")]]
    assert len(set(parts)) == 1
    assert (np.diff(window.words[1:-1]) >= 0).all()


def test_titles_that_look_like_special_tokens_stay_titles() -> None:
    behaviour = build(histories([2]))
    special = set(tastes.tokenizer().all_special_ids) - {tastes.tokenizer().unk_token_id}
    window = behaviour.window(0, 1, 96)
    assert not special & set(window.ids[1:-1].tolist())
    assert "wheat" in shown(behaviour, 0, 96)


def test_items_without_text_are_left_out_and_equal_texts_are_one() -> None:
    behaviour = build(histories([0, 1, 4], [1], [3]))
    assert np.diff(behaviour.indptr).tolist() == [2, 0, 1]
    assert behaviour.text.tolist() == [0, 0, 1]
    # Nobody met the others: they are not told from these.
    assert len(behaviour.items) == 2
    empty = behaviour.window(1, int(behaviour.indptr[2]), 32)
    assert tastes.tokenizer().convert_ids_to_tokens(empty.ids) == ["[CLS]", "[SEP]"]


def test_a_text_of_50_000_characters_leaves_room_for_the_others() -> None:
    behaviour = build(histories([0, 5, 3]), line_tokens=16)
    window = behaviour.window(0, 3, 64)
    assert len(window.texts) == 3
    assert behaviour.items.lengths.max() == 16


def test_the_digest_names_what_training_sees() -> None:
    one = build(histories([0, 3], [4]))
    assert one.digest() == build(histories([0, 3], [4])).digest()
    assert one.digest() != build(histories([3, 0], [4])).digest()
    assert one.digest() != build(histories([0, 3], [4], attributes=[["a=b"], []])).digest()
    assert one.digest() != build(histories([0, 3, 4], [])).digest()


def test_no_users_and_no_items_are_no_fault() -> None:
    assert len(build(histories(), [])) == 0
    assert pl.Series(build(histories([]), []).line).is_empty()
