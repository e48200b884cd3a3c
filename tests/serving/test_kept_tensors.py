from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.kept_tensors import MOST, MOST_BYTES, KeptTensors
from serving.models import recommend

Array = npt.NDArray[np.generic]
texts = st.lists(st.binary(max_size=3), max_size=3)
values = st.one_of(
    texts.map(lambda found: np.array([found, found], dtype=object).reshape(2, -1)),
    texts.map(lambda found: np.array([*found, None], dtype=object)[:-1].reshape(-1, 1)),
    st.lists(st.booleans(), max_size=3).map(lambda found: np.array(found, bool)),
    st.lists(st.sampled_from([-1.0, 0.5]), max_size=3).map(lambda f: np.array(f, np.float32)),
    st.lists(st.sampled_from([-1, 2]), max_size=3).map(lambda found: np.array(found, np.int32)),
)


class Made:
    """A tensor as the backend makes one: it copies the array."""

    def __init__(self, name: str, value: Array) -> None:
        self.name, self.value = name, value.copy()


def same(made: Made, name: str, value: Array) -> bool:
    return (
        made.name == name
        and made.value.dtype == value.dtype
        and made.value.shape == value.shape
        and made.value.tolist() == value.tolist()
    )


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), values), max_size=30))
def test_each_answer_gets_the_tensor_that_it_would_have_had(asked: list[tuple[str, Any]]) -> None:
    kept = KeptTensors(Made, ("a",))
    for name, value in asked:
        (found,) = kept.of({name: value}, {name})
        assert same(found, name, value)


def test_an_equal_tensor_is_made_once() -> None:
    kept = KeptTensors(Made, ("source",))
    answer = {"source": np.array([[b"known_user"]], dtype=object), "k": np.zeros(1)}
    (first, *_), (second, *_) = (kept.of(answer, {"source"}) for _ in range(2))
    assert first is second
    assert len(kept.of(answer, {"source", "k"})) == 2
    assert len(kept) == 1


def test_only_wanted_tensors_are_made_in_the_order_of_the_answer() -> None:
    kept = KeptTensors(Made, ())
    answer = {name: np.zeros(1) for name in ("x", "y", "z")}
    assert [made.name for made in kept.of(answer, {"z", "x"})] == ["x", "z"]


def test_what_is_kept_stays_small() -> None:
    kept = KeptTensors(Made, ("a",))
    for number in range(3 * MOST):
        kept.of({"a": np.array([number])}, {"a"})
        assert len(kept) <= MOST
    before = len(kept)
    kept.of({"a": np.zeros(MOST_BYTES, np.int64)}, {"a"})
    kept.of({"a": np.array([b"x" * (MOST_BYTES + 1)], dtype=object)}, {"a"})
    assert len(kept) == before


def test_what_is_kept_are_outputs_of_the_front() -> None:
    outputs = {tensor.name for tensor in recommend.SPEC.outputs}
    assert set(recommend.Runtime.repeated) < outputs
