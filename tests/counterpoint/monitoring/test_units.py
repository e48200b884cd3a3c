import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counterpoint.monitoring.units import Units, redraw

# A loaded machine is no fault of the code.
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def random_units(draw: st.DrawFn) -> Units:
    n_users = draw(st.integers(2, 12))
    users, slices = [], []
    for user in range(n_users):
        own = draw(st.sets(st.integers(-1, 4), min_size=1, max_size=6))
        users += [user] * len(own)
        slices += sorted(own)
    order = draw(st.permutations(range(len(users))))
    return Units(np.array(users)[list(order)], np.array(slices)[list(order)])


@relaxed
@given(random_units(), st.integers(0, 2**31))
def test_redrawn_labels_give_each_user_at_most_one_window_unit(units: Units, seed: int) -> None:
    labels = np.concatenate(list(redraw(units, draws=50, seed=seed)))
    assert labels.shape == (50, len(units.users))
    per_user = np.stack([labels[:, units.users == user].sum(axis=1) for user in set(units.users)])
    assert per_user.max(initial=0) <= 1


@relaxed
@given(random_units())
def test_redrawn_windows_have_the_real_size_on_average(units: Units) -> None:
    labels = np.concatenate(list(redraw(units, draws=4000, seed=1)))
    wanted = units.current.sum()
    # The number of window units is a sum of independent coins, one a user.
    assert abs(labels.sum(axis=1).mean() - wanted) < 5 * np.sqrt(len(set(units.users)) / 4 / 4000)


def test_each_slice_of_a_user_is_equally_likely_to_be_the_window() -> None:
    units = Units(np.array([0, 0, 0, 1, 2]), np.array([-1, 0, 1, 0, -1]))
    labels = np.concatenate(list(redraw(units, draws=20_000, seed=0)))
    shares = labels[:, :3].mean(axis=0)
    assert np.ptp(shares) < 0.02
    # A user with three units holds the window three times as often as a user with one.
    assert abs(shares.sum() / labels[:, 3].mean() - 3) < 0.2 or shares.sum() > 0.99


def test_equal_seeds_redraw_equal_labels() -> None:
    units = Units(np.repeat(np.arange(30), 2), np.tile([-1, 0], 30))
    first, second = (np.concatenate(list(redraw(units, draws=20, seed=5))) for _ in range(2))
    assert (first == second).all()
    assert (first != np.concatenate(list(redraw(units, draws=20, seed=6)))).any()
