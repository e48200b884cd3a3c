"""The canary's users: as many as asked for, always the same ones, on every machine."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.engine import routing
from serving.engine.versions import Loaded, Serving

A, B = Loaded("a", 1, "engine a"), Loaded("b", 2, "engine b")
KEYS = st.tuples(st.text(max_size=8), st.text(min_size=1, max_size=8))


def serving(share: float, salt: str = "s") -> Serving[str]:
    return Serving(A, B, share, salt)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.3, 0.5, 0.99])
@pytest.mark.parametrize("salt", ["", "b", "20261122T070054Z-2c37aaaa"])
def test_the_share_is_met(share: float, salt: str) -> None:
    """Within five standard deviations of a binomial count over 20,000 users."""
    count = 20_000
    inside = sum(routing.choose(serving(share, salt), str(u), "") is B for u in range(count))
    assert abs(inside - share * count) < 5 * (count * share * (1 - share)) ** 0.5


@given(st.text(), st.floats(0.001, 1), st.floats(0.001, 1), st.text(max_size=5))
def test_a_growing_share_keeps_its_users(user: str, one: float, two: float, salt: str) -> None:
    small, large = sorted((one, two))
    if routing.choose(serving(small, salt), user or "u", "") is B:
        assert routing.choose(serving(large, salt), user or "u", "") is B


@given(st.text(min_size=1), st.text(max_size=5))
def test_the_extremes(user: str, salt: str) -> None:
    assert 0 <= routing.position(salt, user) < 1
    assert routing.choose(serving(1, salt), user, "") is B
    assert routing.choose(Serving(A), user, "") is A


def test_other_processes_agree() -> None:
    """The place depends on neither the seed of Python's hash nor the order of calls."""
    users = ["42", "бо́рис", "日本", "with space", "🎬"]
    program = "import sys; from serving.engine import routing as r\n" + (
        "print([r.position('salt', u) for u in sys.argv[1:]])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *users],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(sys.path), "PYTHONUTF8": "1"},
    )
    assert done.stdout.strip() == str([routing.position("salt", user) for user in users])
    assert routing.position("salt", "42") == 0.8876953084259362


def test_another_salt_chooses_other_users() -> None:
    places = np.array([[routing.position(s, str(u)) for s in "xy"] for u in range(5000)])
    assert abs(np.corrcoef(places.T)[0, 1]) < 0.06
    assert routing.position("ab", "c") != routing.position("a", "bc")


def test_a_request_without_user_goes_by_its_trace() -> None:
    chosen = [routing.choose(serving(0.5), "", str(t)).version for t in range(2000)]
    assert 800 < chosen.count("b") < 1200
    # A user stays with one version whatever the trace says.
    assert len({routing.choose(serving(0.5), "u", str(t)).version for t in range(50)}) == 1


@given(st.lists(KEYS, max_size=30), st.floats(0.01, 1))
def test_splitting_loses_no_row_and_mixes_none(keys: list[tuple[str, str]], share: float) -> None:
    groups = routing.split(serving(share), keys)
    assert sorted(row for _, rows in groups for row in rows) == list(range(len(keys)))
    for loaded, rows in groups:
        assert rows == sorted(rows)
        assert rows
        assert all(routing.choose(serving(share), *keys[row]) is loaded for row in rows)
    alone = routing.split(Serving(A), keys)
    assert alone == ([(A, list(range(len(keys))))] if keys else [])
