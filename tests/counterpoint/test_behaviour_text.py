import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoint import behaviour_text
from counterpoint.behaviour_text import MAX_CHARACTERS, history_text, lines, newest, plain

ANY = st.text(alphabet=st.characters(), max_size=300)


def words(text: str) -> int:
    return len(text.split())


def test_the_examples_of_the_docstrings_hold() -> None:
    assert doctest.testmod(behaviour_text).failed == 0


def test_attributes_come_first_and_events_oldest_first() -> None:
    text = history_text(
        ["Heat. genre: Crime, Drama", "", "Casper"],
        [True, True, False],
        ["age=25-34", "gender=F"],
        count=words,
        max_tokens=100,
    )
    assert text == (
        "User: age: 25-34. gender: F.\nLiked: Heat. genre: Crime, Drama.\nNot liked: Casper.\n"
    )


def test_ratings_and_unknown_opinions_are_said_in_words() -> None:
    found = lines(["a", "b", "c"], [True, None, False], ratings=[4.5, None, 2])
    assert [line.lead for line in found] == ["Liked, rated 4.5", "Seen", "Not liked, rated 2"]
    assert [line.event for line in found] == [0, 1, 2]


def test_nothing_known_gives_no_text() -> None:
    assert history_text([], count=words, max_tokens=10) == ""
    assert history_text(["", "  ", "<br>"], count=words, max_tokens=10) == ""


def test_a_wrong_number_of_likes_is_refused() -> None:
    with pytest.raises(ValueError, match="1 liked for 2 texts"):
        lines(["a", "b"], [True])


@given(st.lists(ANY, max_size=8), st.lists(ANY, max_size=3), st.integers(0, 40))
def test_the_budget_holds_and_the_newest_events_are_kept(texts, attributes, budget) -> None:
    liked = [bool(len(text) % 2) for text in texts]
    found = lines(texts, liked, attributes)
    costs = [words(str(line)) for line in found]
    kept = newest(found, costs, budget)
    assert sum(words(str(line)) for line in kept) <= budget
    events = [line for line in kept if line.event is not None]
    everything = [line for line in found if line.event is not None]
    assert events == everything[len(everything) - len(events) :]
    if len(events) < len(everything):
        missed = everything[-len(events) - 1]
        assert sum(words(str(line)) for line in [missed, *kept]) > budget
    again = history_text(texts, liked, attributes, count=words, max_tokens=budget)
    assert again == "".join(map(str, kept))


@given(ANY)
def test_any_text_becomes_one_short_line_that_utf8_can_hold(text) -> None:
    found = plain(text)
    assert len(found) <= MAX_CHARACTERS
    assert "\n" not in found
    assert found == " ".join(found.split())
    found.encode("utf-8")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("<p>War &amp; Peace</p><br/>an <b>epic</b>", "War & Peace an epic"),
        ("<script>alert(1)</script>Film", "Film"),
        ("I <3 you", "I <3 you"),
        ("\ud800lone\x00 sign", "lone sign"),
        ("family 👨\u200d👩\u200d👧 film", "family 👨\u200d👩\u200d👧 film"),
        ("Привет 世界 عالم", "Привет 世界 عالم"),
        (None, ""),
    ],
)
def test_mark_up_goes_and_every_script_stays(raw, expected) -> None:
    assert plain(raw) == expected


@pytest.mark.timeout(5)
@pytest.mark.parametrize("part", ["word ", "<!--", "<b", "&amp;", "世", "<script>"])
def test_a_text_of_50_000_characters_is_cut_at_once(part) -> None:
    found = plain(part * (50_000 // len(part)))
    assert len(found) <= MAX_CHARACTERS
    if part == "word ":
        assert found == "word " * (len(found) // 5) + "word"
