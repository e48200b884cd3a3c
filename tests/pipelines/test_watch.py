import json
from pathlib import Path

from rich.console import Console

from components.publish import FAULT
from pipelines.watch import Watcher


def executor_output(root: Path, task: str, figures: dict[str, float]) -> None:
    folder = root / "training-1" / task
    folder.mkdir(parents=True)
    entry = {"name": "metrics", "uri": "", "metadata": figures}
    (folder / "executor_output.json").write_text(
        json.dumps({"artifacts": {"metrics": {"artifacts": [entry]}}})
    )


def follow(tmp_path: Path, lines: list[str]) -> tuple[Watcher, str]:
    console = Console(record=True, width=100, force_terminal=False)
    watcher = Watcher(tmp_path, console)
    watcher.follow(lines, tmp_path / "run.log")
    return watcher, console.export_text()


def test_stages_progress_and_figures_are_read_from_the_log(tmp_path: Path) -> None:
    executor_output(tmp_path, "gate", {"promote": 1.0})
    watcher, text = follow(
        tmp_path,
        [
            "01:26:28.617 - INFO - Executing task \x1b[96m'gate'\x1b[0m\n",
            "    [KFP Executor 2026-11-22 01:26:28,741 INFO]: Looking for component\n",
            '        "inputs": {\n',
            "    · Resample users: 3/10\n",
            "    a library says something\n",
            "01:26:28.753 - INFO - Task \x1b[96m'gate'\x1b[0m finished with status "
            "\x1b[92mSUCCESS\x1b[0m\n",
        ],
    )
    assert [(s.name, s.status, s.figures) for s in watcher.stages] == [
        ("gate", "done", {"promote": 1.0})
    ]
    assert "Resample users: 3/10" in text
    assert "KFP Executor" not in text and "library" not in text and '"inputs"' not in text
    assert "KFP Executor" in (tmp_path / "run.log").read_text()


def test_a_fault_of_a_step_is_kept_with_its_exit_status(tmp_path: Path) -> None:
    fault = {"exit_code": 4, "message": "Table 'items' broke a rule."}
    watcher, text = follow(
        tmp_path,
        [
            "INFO - Executing task 'validate'\n",
            f"    {FAULT} {json.dumps(fault)}\n",
            "ERROR - Task 'validate' finished with status FAILURE\n",
        ],
    )
    assert watcher.fault == fault
    assert watcher.stages[0].status == "failed"
    assert FAULT not in text
