import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.config.pretrain import PretrainConfig
from counterpoint.encoder.behaviour_tokens import NONE, Window
from counterpoint.encoder.masking import MASKED, RANDOM, collate, foresee, hide

CLS, SEP, MASK, FIRST = 1, 2, 3, 10
ORDINARY = np.arange(FIRST, 1000)


@st.composite
def windows(draw) -> Window:
    """Lines of a lead, an item's text and a full stop; ids name places, so all are different."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=0, max_size=8))
    profile = draw(st.booleans())
    texts = draw(st.lists(st.integers(0, 4), min_size=len(sizes), max_size=len(sizes)))
    events, words = [NONE], [NONE]
    for _ in range(3 if profile else 0):
        events.append(NONE)
        words.append(words[-1] + 1)
    for event, size in enumerate(sizes):
        events += [NONE, *[event] * size, NONE]
        words.append(max(words) + 1)
        for place in range(size):
            words.append(words[-1] + (0 if place % 3 else 1))
        words.append(words[-1] + 1)
    ids = np.arange(FIRST, FIRST + len(events))
    ids[0] = CLS
    return Window(
        np.append(ids, SEP),
        np.append(words, NONE),
        np.append(events, NONE),
        np.array(texts, dtype=np.int64),
        profile,
    )


def hidden(window: Window, seed: int = 0, **options: object):
    config = PretrainConfig(**options)
    return hide(window, np.random.default_rng(seed), config, mask=MASK, ordinary=ORDINARY)


@given(windows(), st.integers(0, 5), st.booleans())
def test_only_ordinary_tokens_are_hidden_and_labels_are_what_stood_there(window, seed, whole):
    task = hidden(window, seed, masked_item=0, token_share=0.5, whole_words=whole)
    assert len(task.ids) == len(window.ids) and not len(task.item_places)
    assert (window.words[task.token_places] != NONE).all()
    np.testing.assert_array_equal(task.tokens, window.ids[task.token_places])
    changed = np.flatnonzero(task.ids != window.ids)
    assert set(changed) <= set(task.token_places)
    assert task.ids[0] == CLS and task.ids[-1] == SEP
    if whole:
        words = set(window.words[task.token_places])
        assert sum(np.isin(window.words, list(words))) == len(task.token_places)


@given(windows(), st.integers(0, 5))
def test_a_hidden_item_is_one_mask_wherever_it_occurs(window, seed):
    task = hidden(window, seed, masked_token=0, item_share=0.3)
    distinct = set(window.texts.tolist())
    if not distinct or (len(distinct) == 1 and not window.profile):
        assert not len(task.item_places)
        np.testing.assert_array_equal(task.ids, window.ids)
        return
    asked = set(task.texts.tolist())
    assert len(asked) == max(1, round(0.3 * len(distinct)))
    events = [event for event, text in enumerate(window.texts.tolist()) if text in asked]
    assert task.texts.tolist() == [window.texts[event] for event in events]
    assert (task.ids[task.item_places] == MASK).all()
    gone = np.isin(window.events, events)
    # What is left is the rest of the text in its order: nothing of the item can be read.
    rest = np.delete(task.ids, task.item_places)
    np.testing.assert_array_equal(rest, window.ids[~gone])


@given(windows(), st.integers(0, 5))
def test_words_of_hidden_items_are_not_asked_for_as_well(window, seed):
    task = hidden(window, seed, token_share=0.5, item_share=0.5)
    asked = set(task.texts.tolist())
    events = [event for event, text in enumerate(window.texts.tolist()) if text in asked]
    outside = window.ids[~np.isin(window.events, events) & (window.words != NONE)]
    assert set(task.tokens) <= set(outside)
    assert not set(task.token_places) & set(task.item_places)


def long_window(tokens: int = 2000) -> Window:
    return Window(
        np.arange(FIRST, FIRST + tokens) % 900 + FIRST,
        np.arange(tokens) // 2,
        np.full(tokens, NONE),
        np.zeros(0, dtype=np.int64),
        True,
    )


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("share", [0.15, 0.4])
def test_the_share_is_right_and_parts_as_in_bert(share, whole) -> None:
    window = long_window()
    asked = masks = same = 0
    for seed in range(20):
        task = hidden(window, seed, token_share=share, whole_words=whole)
        asked += len(task.tokens)
        shown = task.ids[task.token_places]
        masks += int((shown == MASK).sum())
        same += int((shown == task.tokens).sum())
    assert asked / (20 * len(window.ids)) == pytest.approx(share, abs=0.01)
    assert masks / asked == pytest.approx(MASKED, abs=0.02)
    assert same / asked == pytest.approx(1 - MASKED - RANDOM, abs=0.02)


def test_short_texts_have_the_right_share_on_average() -> None:
    window = Window(*(part[:5] for part in vars(long_window()).values() if np.ndim(part)), False)
    window = Window(window.ids, np.arange(5), window.events, window.texts, True)
    asked = [len(hidden(window, seed).tokens) for seed in range(2000)]
    assert np.mean(asked) / 5 == pytest.approx(0.15, abs=0.01)


@given(windows(), st.integers(0, 5))
def test_decoders_are_asked_for_what_comes_next(window, seed) -> None:
    task = foresee(window, np.random.default_rng(seed), PretrainConfig(item_share=0.5))
    np.testing.assert_array_equal(task.ids, window.ids)
    np.testing.assert_array_equal(task.tokens, window.ids[task.token_places + 1])
    assert len(task.tokens) == (window.words[1:] != NONE).sum()
    for place, text in zip(task.item_places, task.texts, strict=True):
        event = window.events[place + 1]
        assert window.events[place] != event and window.texts[event] == text
        # The first event of a history without attributes has nothing to be told from.
        assert window.profile or event > 0


def test_draws_depend_on_the_seed_alone() -> None:
    first, again, other = (hidden(long_window(), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.ids, again.ids)
    assert (first.ids != other.ids).any()


def test_joined_texts_keep_their_places() -> None:
    windows = [long_window(7), long_window(4)]
    tasks = [hidden(window, 3, token_share=0.5) for window in windows]
    batch = collate(tasks, pad=0)
    assert batch.ids.shape == (2, 7) and batch.attention.sum(1).tolist() == [7, 4]
    flat = batch.ids.flatten()
    shown = np.concatenate([task.ids[task.token_places] for task in tasks])
    np.testing.assert_array_equal(flat[batch.token_places].numpy(), shown)
    assert batch.ids[1, 4:].tolist() == [0, 0, 0]
