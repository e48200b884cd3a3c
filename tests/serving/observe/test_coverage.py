from hypothesis import given
from hypothesis import strategies as st

from serving.observe.coverage import STEPS, Coverage


@given(st.lists(st.tuples(st.integers(0, 3), st.lists(st.sampled_from("abcdef"))), max_size=40))
def test_it_counts_the_distinct_items_of_the_last_steps(moves: list[tuple[int, list[str]]]) -> None:
    now = 0
    tested = Coverage(seconds=STEPS, clock=lambda: float(now))
    said: list[tuple[int, str]] = []
    for forward, items in moves:
        now += forward
        expected = {item for step, item in said if step > now - STEPS}
        assert tested.count() == len(expected)
        tested.add(items)
        said += [(now, item) for item in items]
        assert tested.count() == len(expected | set(items))
