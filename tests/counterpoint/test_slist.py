import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from counterpoint.slist import transitions
from tests.counterpoint import toys

EVENTS = st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=12)


@settings(max_examples=40, deadline=None)
@given(st.lists(EVENTS, min_size=1, max_size=4), st.sampled_from([0.7, 2.0, 9.0]))
def test_sums_over_pairs_equal_the_matrices_written_out(users, span: float) -> None:
    covered = np.array([0, 1, 2, 3, 5, 6])
    found = transitions(toys.histories(*users), covered, n_items=7, span=span)
    past, future = [], []
    for events in users:
        liked = [i for i, positive in events if positive and i != 4]
        for place in range(len(liked) - 1):
            before, after = np.zeros(7), np.zeros(7)
            for other, item in enumerate(liked):
                side = before if other <= place else after
                side[item] += np.exp(-abs(place - other) / span)
            past.append(before[covered])
            future.append(after[covered])
    s, t = (np.array(rows).reshape(-1, 6) for rows in (past, future))
    np.testing.assert_allclose(found.together.toarray(), s.T @ s, atol=2e-2, rtol=1e-3)
    np.testing.assert_allclose(found.followed.toarray(), s.T @ t, atol=2e-2, rtol=1e-3)
