"""Turns the log of a running pipeline into what a person wants to see: stages and progress."""

import json
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from components.publish import FAULT, SAID, shown

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
STARTED = re.compile(r"Executing task '(?P<name>[^']+)'")
FINISHED = re.compile(r"Task '(?P<name>[^']+)' finished with status (?P<status>[A-Z]+)")
PROGRESS = re.compile(r"^\s*(?P<what>[^:]+): (?P<done>\d+)/(?P<total>\d+)\s*$")
KEY_FIGURES = {
    "ingest": "{interactions} interactions, {active_users} users, {active_items} items",
    "validate": "{accepted_interactions} interactions accepted, {quarantined_interactions} not",
    "features": "{examples} point-in-time examples, {mean_history} events before each",
    "train": "validation NDCG@10 {valid_ndcg}, {steps} steps",
    "evaluate": "NDCG@10 {ndcg} on {test_users} test users",
    "gate": "{conditions} conditions, {failed} failed",
    "export": "{parity_users} users answered alike, scores within {score_difference}",
    "deploy": "version {number}, {smoke_cases} questions answered over gRPC",
    "monitor": "{drifted} of {signals} signals drifted",
}


@dataclass
class Stage:
    """One task of the run as the log shows it."""

    name: str
    started: float
    seconds: float | None = None
    status: str = "running"
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def key_figure(self) -> str:
        """The figures of the stage in a few words; what a stage did not report is left out."""
        template = KEY_FIGURES.get(self.name.split("-")[0], "")
        try:
            return template.format(**{k: shown(v) for k, v in self.figures.items()})
        except KeyError:
            return ", ".join(f"{k} {shown(v)}" for k, v in list(self.figures.items())[:3])

    def record(self) -> dict[str, Any]:
        """Plain values for the run's record."""
        return {
            "name": self.name,
            "status": self.status,
            "seconds": self.seconds,
            "key_figure": self.key_figure,
            "figures": self.figures,
        }


class Watcher:
    """Follows the lines of a run.

    Attributes:
        stages: The tasks in their order.
        fault: ``exit_code`` and ``message`` of the user's fault that ended a step, if one did.
    """

    def __init__(self, artifacts: Path, console: Console) -> None:
        self.artifacts = artifacts
        self.console = console
        self.stages: list[Stage] = []
        self.fault: dict[str, Any] | None = None
        self.doing = ""

    def follow(self, lines: Iterable[str], log: Path) -> None:
        """Write all lines to the log and show the essence until they end."""
        with log.open("w", encoding="utf-8") as sink:
            if not self.console.is_terminal:
                for line in lines:
                    self._take(line, sink)
                return
            with Live(console=self.console, get_renderable=self._screen, refresh_per_second=4):
                for line in lines:
                    self._take(line, sink)

    def table(self, *, title: str) -> Table:
        """Stages, their time and key figure."""
        table = Table(title=title, title_justify="left")
        for column in ("stage", "status", "seconds", "key figure"):
            table.add_column(column, justify="right" if column == "seconds" else "left")
        for stage in self.stages:
            seconds = stage.seconds if stage.seconds is not None else time.time() - stage.started
            table.add_row(stage.name, stage.status, f"{seconds:.1f}", stage.key_figure)
        return table

    def _screen(self) -> Table:
        table = self.table(title="")
        table.caption = self.doing
        table.caption_justify = "left"
        return table

    def _take(self, raw: str, sink: Any) -> None:
        line = COLOURS.sub("", raw).rstrip()
        sink.write(line + "\n")
        sink.flush()
        if match := STARTED.search(line):
            self._start(match["name"])
        elif match := FINISHED.search(line):
            self._finish(match["name"], match["status"])
        elif FAULT in line:
            self.fault = json.loads(line.partition(FAULT)[2])
        elif (said := line.strip()).startswith(SAID):
            self._progress(said.removeprefix(SAID))

    def _start(self, name: str) -> None:
        self.stages.append(Stage(name, time.time()))
        self.doing = ""
        if not self.console.is_terminal:
            self.console.print(f"▸ {name} …")

    def _finish(self, name: str, status: str) -> None:
        stage = next((s for s in reversed(self.stages) if s.name == name and not s.seconds), None)
        if stage is None:
            return
        stage.seconds = time.time() - stage.started
        stage.status = {"SUCCESS": "done", "FAILURE": "failed"}.get(status, status.lower())
        stage.figures = self._figures(name)
        if not self.console.is_terminal:
            mark = "✓" if stage.status == "done" else "✗"
            self.console.print(f"{mark} {name}: {stage.seconds:.1f} s  {stage.key_figure}")

    def _progress(self, line: str) -> None:
        match = PROGRESS.match(line)
        if match:
            done, total = int(match["done"]), int(match["total"])
            full = 30 * done // max(total, 1)
            self.doing = f"{match['what']}  {'━' * full}{'╌' * (30 - full)}  {done}/{total}"
        else:
            self.doing = line[: self.console.width]
        if not self.console.is_terminal:
            self.console.print(f"    {line}", highlight=False, markup=False)

    def _figures(self, name: str) -> dict[str, Any]:
        """Read the figures that the newest execution of a task logged as KFP metrics."""
        outputs = sorted(
            self.artifacts.glob(f"**/{name}/executor_output.json"), key=lambda p: p.stat().st_mtime
        )
        if not outputs:
            return {}
        artifacts = json.loads(outputs[-1].read_text("utf-8")).get("artifacts", {})
        entries = artifacts.get("metrics", {}).get("artifacts", [])
        return dict(entries[0].get("metadata", {})) if entries else {}
