"""Waits for a TrainJob, tells what it says meanwhile, and explains how it failed."""

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from counterpoint.config.trainjob import TrainJobConfig
from counterpoint.encoder import trainjob_state
from counterpoint.encoder.job import REPORT
from counterpoint.encoder.trainjob_api import TrainJobs
from counterpoint.errors import CounterpointError, ServerError, SetupError

logger = logging.getLogger(__name__)

SHOWN: Final = 20
"""Last lines of a failed pod that an error shows."""

FOLLOWED: Final = 200
"""Most lines that node 0 may say between two looks without any being missed."""

SETTLES: Final = 12
"""Polls until what the nodes wrote must be seen here: network file systems cache folders."""


@dataclass
class Waiting:
    """Waits for one TrainJob and tells what happens.

    Attributes:
        cluster: Its namespace.
        name: Its name.
        config: How long, and how often to look.
        target: Where another step that waits for the same job puts the result.
    """

    cluster: TrainJobs
    name: str
    config: TrainJobConfig
    target: Path

    _said: list[str] = field(default_factory=list, init=False)
    _told: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self._deadline = time.monotonic() + self.config.timeout_seconds

    def needs_a_job(self) -> bool:
        """Whether none is there to wait for; one that ended without a result is removed."""
        found = self.cluster.find(self.name)
        if found is None:
            return True
        ended = trainjob_state.finished(found)
        if ended is None and "deletionTimestamp" not in found["metadata"]:
            logger.info("TrainJob %s is there already: it is waited for", self.name)
            return False
        if ended is not None:
            logger.warning(
                "TrainJob %s of an earlier attempt is replaced; it ended as %s",
                *(self.name, trainjob_state.condition(found, ended)),
            )
            self.cluster.delete(self.name)
        while self.cluster.find(self.name) is not None:
            self._sleep("is being deleted")
        return True

    def until_complete(self, result: Path) -> bool:
        """Wait; return False if another step has taken the result meanwhile.

        Args:
            result: Folder that the job makes.
        """
        while True:
            try:
                found = self.cluster.find(self.name)
            except ServerError as error:
                # The job goes on without this process; an API server may be away for minutes.
                self._sleep(str(error))
                continue
            if found is None:
                if (self.target / REPORT).is_file():
                    return False
                raise SetupError(
                    f"TrainJob {self.name} in namespace {self.cluster.namespace} was deleted "
                    "before it ended. Start the run again: it continues from its checkpoint."
                )
            ended = trainjob_state.finished(found)
            if ended == trainjob_state.COMPLETE:
                return self._settled(result)
            if ended is not None:
                raise self._failure(trainjob_state.condition(found, ended) or ended)
            self._sleep("; ".join([trainjob_state.progress(found), *self._follow()]))

    def _settled(self, result: Path) -> bool:
        for _ in range(SETTLES):
            if (result / REPORT).is_file():
                return True
            if (self.target / REPORT).is_file():
                return False
            time.sleep(self.config.poll_seconds)
        raise SetupError(
            f"TrainJob {self.name} is complete, but {result} is not seen here. Check that "
            f"the claim {self.config.claim} is ReadWriteMany and that this step mounts the same "
            f"one at {self.config.mount_path}."
        )

    def _failure(self, why: str) -> SetupError:
        source, lines = "the first node", self._said[-SHOWN:]
        try:
            pods = self.cluster.pods(self.name)
            failed = trainjob_state.first_failed(pods)
            found = self.cluster.log(failed, lines=SHOWN) if failed else []
            if failed and found:
                source, lines = f"pod {failed}", found
            lines += trainjob_state.troubles(pods)
        except CounterpointError as error:
            lines.append(f"(its pods could not be asked: {error})")
        said = "\n".join(lines) or "(nothing)"
        return SetupError(
            f"TrainJob {self.name} in namespace {self.cluster.namespace} failed: {why}. "
            f"Last words of {source}:\n{said}\n{self._kept()} The run started again replaces it "
            "and continues from its checkpoint."
        )

    def _kept(self) -> str:
        return (
            f"It is kept: kubectl -n {self.cluster.namespace} describe trainjob {self.name}; "
            "'delete' in place of 'describe' removes it."
        )

    def _follow(self) -> list[str]:
        """Pass on what node 0 has said since the last look; return what keeps pods from running."""
        try:
            pods = self.cluster.pods(self.name)
            first = trainjob_state.leader(pods)
            lines = self.cluster.log(first, lines=FOLLOWED) if first else []
        except CounterpointError as error:
            # The job does not depend on it.
            return [f"its pods cannot be asked: {error}"]
        for line in new_lines(self._said, lines):
            logger.info("%s", line)
        self._said = lines or self._said
        return trainjob_state.troubles(pods)

    def _sleep(self, state: str) -> None:
        if state != self._told:
            logger.info("TrainJob %s: %s", self.name, state)
            self._told = state
        if time.monotonic() < self._deadline:
            time.sleep(self.config.poll_seconds)
            return
        raise ServerError(
            f"TrainJob {self.name} in namespace {self.cluster.namespace} did not end within "
            f"{self.config.timeout_seconds} s (train.encoder.tune.trainjob.timeout_seconds). It "
            f"is: {state}. {self._kept()}"
        )


def new_lines(before: list[str], now: list[str]) -> list[str]:
    """Return what the end of a log has more than an earlier end of the same log.

    Args:
        before: Its last lines then.
        now: Its last lines, as many at most.
    """
    for gone in range(len(before)):
        kept = before[gone:]
        if now[: len(kept)] == kept:
            return now[len(kept) :]
    return now
