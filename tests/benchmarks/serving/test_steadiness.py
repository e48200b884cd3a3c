import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.serving import steadiness
from benchmarks.serving.steadiness import AFTER_SECONDS, PERIOD_SECONDS, Steadiness, watching

moments = st.floats(0, 10, allow_nan=False)


@given(st.lists(moments, max_size=20), st.lists(st.tuples(moments, moments), max_size=20))
def test_steady_means_far_from_every_slow_burst(
    slow: list[float], pairs: list[tuple[float, float]]
) -> None:
    begin = np.array([min(pair) for pair in pairs])
    end = np.array([max(pair) for pair in pairs])
    found = Steadiness(slow=np.sort(np.array(slow))).steady(begin, end)
    expected = [
        not any(first - AFTER_SECONDS <= moment <= last + PERIOD_SECONDS for moment in slow)
        for first, last in zip(begin, end, strict=True)
    ]
    assert found.tolist() == expected


def test_slow_is_measured_against_the_same_cpu() -> None:
    quick = np.array([[0.0, 1.0, 2.0, 3.0], [1.0, 1.0, 1.0, 3.5]])
    steady = np.array([[0.5, 1.5, 2.5, 3.5], [2.0, 2.0, 2.0, 2.0]])
    found = Steadiness()
    steadiness._summarise(found, [quick, steady])
    assert found.slow.tolist() == [3.0]
    assert found.slow_share == 1 / 8
    assert found.burst_us == 2e6


def test_bursts_run_on_every_cpu_while_the_block_runs() -> None:
    began = time.perf_counter()
    with watching() as found:
        time.sleep(0.3)
    assert found.burst_us > 0
    assert 0 <= found.slow_share <= 1
    assert all(began < moment < time.perf_counter() for moment in found.slow)
