import os
import signal

import pytest

from counterpoint.errors import ConfigError, SetupError
from counterpoint.isolation import isolated, peak_rss_mb


def _environment(key: str, *, ballast: int = 0) -> tuple[int, str, float]:
    held = bytearray(ballast)
    held[::4096] = b"x" * len(held[::4096])
    return os.getpid(), key, peak_rss_mb()


def _refuse() -> None:
    raise ConfigError(["first fault", "second fault"])


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_function_runs_elsewhere_and_its_peak_memory_is_its_own() -> None:
    small, large = (isolated(_environment, "a", ballast=size) for size in (0, 300_000_000))
    assert small[1] == large[1] == "a"
    assert len({os.getpid(), small[0], large[0]}) == 3
    assert large[2] - small[2] > 250


def test_faults_of_the_other_process_arrive_whole() -> None:
    with pytest.raises(ConfigError) as caught:
        isolated(_refuse)
    assert caught.value.faults == ["first fault", "second fault"]


def test_a_killed_process_is_told() -> None:
    with pytest.raises(SetupError, match="_die was killed"):
        isolated(_die)
