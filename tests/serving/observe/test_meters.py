import threading
from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from serving.observe.meters import BUCKETS, Meters, Series, series


class Totals:
    def __init__(self) -> None:
        self.counters: dict[Series, float] = defaultdict(float)
        self.gauges: dict[Series, float] = {}
        self.broken = False

    def add(self, series: Series, value: float) -> None:
        if self.broken:
            raise RuntimeError("gone")
        self.counters[series] += value

    def set(self, series: Series, value: float) -> None:
        self.gauges[series] = value


def meters(totals: Totals, seconds: float = 1000.0) -> Meters:
    return Meters(totals, before=lambda: None, seconds=seconds)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.floats(0, 2), max_size=20), max_size=5))
def test_a_histogram_is_that_of_all_observations(flushed: list[list[float]]) -> None:
    totals = Totals()
    tested = meters(totals)
    timed = series("seconds", {"stage": "graph"})
    for values in flushed:
        for value in values:
            tested.observe(timed, value)
        tested.flush()
    tested.close()
    every = [value for values in flushed for value in values]
    for bound in BUCKETS:
        name = ("seconds_bucket", (("stage", "graph"), ("le", f"{bound:g}")))
        assert totals.counters[name] == sum(value <= bound for value in every)
    infinite = ("seconds_bucket", (("stage", "graph"), ("le", "+Inf")))
    assert totals.counters[infinite] == len(every)
    assert totals.counters["seconds_count", (("stage", "graph"),)] == len(every)
    assert abs(totals.counters["seconds_sum", (("stage", "graph"),)] - sum(every)) < 1e-9


def test_nothing_is_lost_between_threads_and_at_the_end() -> None:
    totals = Totals()
    tested = meters(totals, seconds=0.001)

    def work() -> None:
        for _ in range(2000):
            tested.add(series("answers"))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tested.close()
    assert totals.counters == {series("answers"): 8000}


def test_gauges_keep_the_last_value() -> None:
    totals = Totals()
    tested = meters(totals)
    tested.set(series("items"), 3)
    tested.set(series("items"), 2)
    tested.close()
    assert totals.gauges == {series("items"): 2}


def test_one_bad_hand_over_does_not_end_the_thread() -> None:
    totals = Totals()
    totals.broken = True
    seen = threading.Event()
    tested = Meters(totals, before=seen.set, seconds=0.001)
    tested.add(series("answers"))
    assert seen.wait(10)
    totals.broken = False
    again = threading.Event()
    tested._before = again.set
    assert again.wait(10)
    tested.add(series("later"))
    tested.close()
    assert totals.counters[series("later")] == 1


def test_a_histogram_is_whole_at_every_moment() -> None:
    class Looked(Totals):
        def add(self, series: Series, value: float) -> None:
            super().add(series, value)
            bounds = [*(f"{bound:g}" for bound in BUCKETS), "+Inf"]
            names = [("seconds_bucket", (("le", bound),)) for bound in bounds]
            seen.append([self.counters[name] for name in names])

    seen: list[list[float]] = []
    tested = meters(Looked())
    for value in (0.0002, 0.003, 0.003, 2.0):
        tested.observe(series("seconds"), value)
    tested.flush()
    tested.close()
    assert seen[-1][-1] == 4
    assert all(counts == sorted(counts) for counts in seen)
