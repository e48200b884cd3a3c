"""The command line as a person meets it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from pipelines.commands.recommend import split


def counterpoint(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=300,
    )


COMMANDS = [
    *("demo", "run", "fit", "batch", "evaluate", "monitor", "serve", "recommend", "explain"),
    *("compile", "submit", "stage", "runs", "models", "config", "ablate", "cross-validate"),
    *("add-item", "remove-item", "live-items", "feature-server", "push-event", "similar"),
    *("certificates", "compress", "live-items-server"),
]


def test_help_names_every_command_and_the_docs_explain_each() -> None:
    shown = counterpoint("--help").stdout
    documented = Path("docs/cli.md").read_text()
    for command in COMMANDS:
        assert re.search(rf"\b{command}\b", shown) and f"`{command}" in documented


def test_a_light_command_imports_no_heavy_library() -> None:
    """It pays for its own imports only: an event must count within a second."""
    code = (
        "import sys; from pipelines import cli, pushing; from typer.main import get_command; "
        "get_command(cli.app).commands['push-event']; "
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"polars", "pandas", "numpy", "pydantic", "torch", "feast", "kfp", "httpx", "scipy"}
    assert not heavy & set(done.stdout.split())


def test_every_help_page_has_an_example() -> None:
    from typer.main import get_command

    from pipelines.cli import app

    def walk(command: object, path: list[str]) -> list[str]:
        children = getattr(command, "commands", None)
        if children:
            return [bad for name, inner in children.items() for bad in walk(inner, [*path, name])]
        text = getattr(command, "help", "") or ""
        shown = f"counterpoint {' '.join(path)}"
        return [] if "Example" in text and shown in text else [shown]

    assert walk(get_command(app), []) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Give --interactions, or a configuration"),
        (("--items", "items.csv"), "--items needs --interactions"),
        (("-s", "ingest.dataset=movielns"), "Known: amazon, movielens, tables"),
        (("-s", "ingest.dataset=amazon"), "give either `path`"),
    ],
)
def test_fit_says_which_data_it_needs(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    done = counterpoint("fit", "--model", str(tmp_path / "model"), *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "model").exists()


def test_bad_configuration_lists_every_fault_and_exits_with_2() -> None:
    done = counterpoint("config", "check", "-s", "train.sed=1", "-s", "gate.min_users=0")
    assert done.returncode == 2
    assert "train.sed" in done.stderr and "gate.min_users" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("override", "known"),
    [
        ("ingest.dataset=movielense", "movielens"),
        ("train.objectives={infonce: {}}", "info_nce"),
        ("evaluate.baselines={pop: {}}", "popularity"),
        ("evaluate.metrics=[ndgc]", "ndcg"),
    ],
)
def test_an_unknown_plugin_is_named_with_the_known_ones(override: str, known: str) -> None:
    done = counterpoint("config", "check", "-s", override)
    assert done.returncode == 2
    assert known in done.stderr and "Traceback" not in done.stderr


def test_an_unreachable_cluster_is_one_sentence() -> None:
    done = counterpoint("submit", "training", "--host", "http://127.0.0.1:9")
    assert done.returncode == 6
    assert "http://127.0.0.1:9" in done.stderr and "Traceback" not in done.stderr


def test_without_docker_its_runner_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/absent.sock")
    done = counterpoint("run", "training", "--runner", "docker", folder=tmp_path)
    assert done.returncode == 7
    assert "--runner local" in done.stderr and "Traceback" not in done.stderr


def test_nothing_to_serve_or_monitor_says_what_to_do(tmp_path: Path) -> None:
    for command in (["recommend", "--user", "1"], ["serve"], ["models", "show"]):
        done = counterpoint(*command, folder=tmp_path)
        assert done.returncode in {2, 3}
        assert "counterpoint run training" in " ".join(done.stderr.split())


def test_an_environment_below_a_path_with_a_space_runs_pipelines(tmp_path: Path) -> None:
    link = tmp_path / "with space"
    link.symlink_to(sys.prefix)
    done = subprocess.run(
        [
            *(str(link / "bin" / "python"), "-m", "pipelines.cli", "run", "training"),
            *("--runs-dir", str(tmp_path / "runs"), "-s", "ingest.dataset=tables"),
            *("-s", "ingest.options={interactions: /absent/events.csv}"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3
    assert "/absent/events.csv does not exist" in " ".join(done.stderr.split())


def test_lists_are_taken_with_commas_or_repeated() -> None:
    assert split(["1, 2", "3"]) == ["1", "2", "3"]
    assert split(None) == []


@pytest.fixture(scope="module")
def fitted(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.pipelines.conftest import SMALL

    folder = tmp_path_factory.mktemp("fit with space")
    overrides = [part for setting in SMALL for part in ("-s", setting)]
    files = [f"--{t}={shop / f'{t}.csv'}" for t in ("interactions", "items", "users")]
    done = counterpoint("fit", *files, "--model", "model", "--seed", "7", *overrides, folder=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_fit_keeps_what_it_read_and_rejected(fitted: Path) -> None:
    assert json.loads((fitted / "model/data/dataset.json").read_text())["rows"]["interactions"]
    assert (fitted / "model/data/quarantine/interactions.parquet").is_file()
    assert json.loads((fitted / "model/model.json").read_text())["report"]["seed"] == 7


def test_a_failed_fit_keeps_the_rejected_rows_and_an_older_model(fitted: Path, shop: Path) -> None:
    rows = (shop / "interactions.csv").read_text().splitlines()
    (fitted / "twice.csv").write_text("\n".join([*rows, *rows[1:]]) + "\n")
    before = (fitted / "model/model.json").read_bytes()
    done = counterpoint("fit", "--interactions", "twice.csv", "--model", "model", folder=fitted)
    assert done.returncode == 4
    assert "model.rejected" in done.stderr
    quarantined = pl.read_parquet(fitted / "model.rejected/quarantine/interactions.parquet")
    assert len(quarantined) == len(rows) - 1
    assert (fitted / "model/model.json").read_bytes() == before


def test_batch_recommends_to_known_and_unknown_users_and_items(fitted: Path, shop: Path) -> None:
    history = fitted / "history.csv"
    rows = (shop / "interactions.csv").read_text().splitlines()
    extra = ["stranger,nothing-known,1700000000", "asks,,", ",i1,1700000000", "undated,i5,"]
    history.write_text("\n".join([*rows, *extra]) + "\n")
    (fitted / "candidates.csv").write_text("item_id,title\ni1,\ni2,\nnew,A new western\n")
    (fitted / "users.csv").write_text("user_id,city\nsilent,c1\n")
    done = counterpoint(
        *("batch", "--model", "model", "--history", "history.csv", "--output", "out.parquet"),
        *("--candidates", "candidates.csv", "--users", "users.csv", "-k", "5"),
        folder=fitted,
    )
    assert done.returncode == 0, done.stderr
    out = pl.read_parquet(fitted / "out.parquet")
    assert out.schema == {
        "user_id": pl.String,
        "item_id": pl.String,
        "rank": pl.Int64,
        "score": pl.Float64,
    }
    assert set(out["item_id"]) == {"i1", "i2", "new"}
    assert {"stranger", "silent", "asks", "undated"} <= set(out["user_id"])
    ranks = out.group_by("user_id", maintain_order=True).agg("rank", "score")
    for own in ranks.iter_rows(named=True):
        assert own["rank"] == list(range(1, len(own["rank"]) + 1))
        assert own["score"] == sorted(own["score"], reverse=True)
    seen = pl.read_csv(history).select("user_id", "item_id")
    assert out.join(seen, on=["user_id", "item_id"]).is_empty()


def test_batch_of_a_missing_model_or_file_is_one_sentence(fitted: Path) -> None:
    for model, history in (("absent", "history.csv"), ("model", "absent.csv")):
        done = counterpoint(
            "batch", "--model", model, "--history", history, "--output", "x.parquet", folder=fitted
        )
        assert done.returncode == 3
        assert "absent" in done.stderr and "Traceback" not in done.stderr
