"""kill -9 under load: how soon the server is back, and whether patient callers lose anything."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.serving import questions
from benchmarks.serving.part import Demand, Result, Setting, Table
from benchmarks.serving.served import Served, serving
from counterpoint.errors import CounterpointError, ServerError
from serving.client import RecommendClient
from serving.retry import NEVER, Retry

TITLE = "kill -9 under load"
ORDER = 5

CALLERS = 4
PAUSE = 0.02
"""Seconds between a caller's requests: together they ask about 100 times a second."""

PATIENCE = Retry(attempts=20)
TIMEOUT = 15.0
ROUNDS = 3
SPACING_SECONDS = 25.0
"""More than two ends within a minute would make the restarts wait longer (serving/restarts.py)."""

BACK_SECONDS = 10.0


@dataclass
class Callers:
    """Threads that ask all the time, each call with retries.

    Attributes:
        answered: When each call ended well (monotonic seconds).
        lost: Calls that ended with an error: when, and which.
        slowest: Longest seconds of a call.
    """

    url: str
    users: Sequence[str]
    answered: list[float] = field(default_factory=list)
    lost: list[tuple[float, str]] = field(default_factory=list)
    slowest: float = 0.0


@contextlib.contextmanager
def calling(url: str, users: Sequence[str]) -> Iterator[Callers]:
    """Ask from several threads until the block ends."""
    callers, stop = Callers(url, users), threading.Event()

    def ask(number: int) -> None:
        with RecommendClient(url, timeout=TIMEOUT, retry=PATIENCE) as client:
            while not stop.wait(PAUSE):
                number += 1
                started = time.monotonic()
                try:
                    client.recommend(user=users[number % len(users)])
                    callers.answered.append(time.monotonic())
                except CounterpointError as error:
                    callers.lost.append((time.monotonic(), str(error)))
                callers.slowest = max(callers.slowest, time.monotonic() - started)

    threads = [threading.Thread(target=ask, args=(number * 7,)) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    try:
        yield callers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def run(setting: Setting) -> Result:
    """Kill tritonserver and the process of the model in turn."""
    users = questions.users(setting.folder)
    rows, back, lost, later, calls = [], [], 0, 0, 0
    victims: dict[str, Callable[[Served], int]] = {
        "tritonserver": Served.tritonserver,
        "process of `recommend`": Served.front,
    }
    rounds = setting.count(ROUNDS)
    with serving(setting) as served:
        for number in range(rounds):
            for what, victim in victims.items():
                with calling(served.url, users) as callers:
                    time.sleep(1.0)
                    killed = time.monotonic()
                    os.kill(victim(served), signal.SIGKILL)
                    gone = _await(served, killed, answering=False)
                    ready = _await(served, killed, answering=True)
                    time.sleep(2.0)
                after = sum(when > killed + ready for when, _ in callers.lost)
                rows.append(
                    (
                        f"{what}, round {number + 1}",
                        gone,
                        ready,
                        callers.slowest,
                        len(callers.answered),
                        len(callers.lost),
                        after,
                    )
                )
                back.append(ready)
                lost += len(callers.lost)
                later += after
                calls += len(callers.answered) + len(callers.lost)
                time.sleep(SPACING_SECONDS * min(1.0, setting.size * 2))
        held = served.process.poll() is None
    return Result(
        [
            Demand(
                "kill -9 under load: until questions are answered again",
                f"<= {BACK_SECONDS:.0f} s",
                f"{max(back):.1f} s at most",
                max(back) <= BACK_SECONDS and held,
            ),
            Demand(
                "kill -9 under load: requests that clients with retries lost after recovery",
                "0",
                f"{later}; {lost} of {calls} over the whole time",
                not later and held,
            ),
        ],
        f"`counterpoint serve --live` under {CALLERS} callers that ask about "
        f"{CALLERS / PAUSE:.0f} times a second at most, `RecommendClient(timeout={TIMEOUT:g}, "
        f"retry=Retry(attempts={PATIENCE.attempts}))`. The time runs from SIGKILL to the first "
        f"answer to another client that does not retry; `gone` is when that client first saw an "
        f"error. The retries last about 12 s: a slower recovery loses calls before it ends.",
        [
            Table(
                ("killed", "gone s", "back s", "slowest call s", "answered", "lost", "lost after"),
                rows,
            )
        ],
    )


def _await(served: Served, since: float, *, answering: bool) -> float:
    """Ask without retries until an answer comes, or stays out; return the seconds."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            # A new connection: an old one would wait before it tries again.
            with RecommendClient(served.url, timeout=1.0, retry=NEVER) as client:
                client.recommend()
            found = True
        except ServerError:
            found = False
        if found == answering:
            return time.monotonic() - since
        time.sleep(0.02)
    raise ServerError(f"The server is {'not back' if answering else 'still there'} after 120 s.")
