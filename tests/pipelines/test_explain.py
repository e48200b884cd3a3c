"""``counterpoint explain`` on a fitted model, as a person meets it."""

import json
from pathlib import Path

import polars as pl
import pytest

from tests.pipelines.conftest import SMALL, Run
from tests.pipelines.test_cli import counterpoint


@pytest.fixture(scope="module")
def fitted(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explain")
    overrides = [part for setting in SMALL for part in ("-s", setting)]
    given = [f"--{table}={shop / f'{table}.csv'}" for table in ("interactions", "items", "users")]
    done = counterpoint("fit", *given, "--model", "model", *overrides, folder=folder)
    assert done.returncode == 0, done.stderr
    return folder


def ask(run: Run, folder: Path, *arguments: str) -> list[dict]:
    done = run("explain", "--model", "model", "--json", *arguments, folder=folder)
    assert done.returncode == 0, done.stderr
    found: list[dict] = json.loads(done.stdout)
    return found


def files(shop: Path) -> list[str]:
    return [f"--{table}={shop / f'{table}.csv'}" for table in ("interactions", "items", "users")]


def test_the_best_items_of_a_user_are_explained(fitted: Path, shop: Path) -> None:
    best = ask(counterpoint, fitted, *files(shop), "--user", "u3", "-k", "2")
    assert [one["rank"] for one in best] == [1, 2]
    met = pl.read_csv(shop / "interactions.csv").filter(pl.col("user_id") == "u3")["item_id"]
    for one in best:
        assert one["because"] == "history" and one["item_id"] not in set(met)
        assert {e["name"] for e in one["events"]} == set(met)
        assert set(one["named"]) <= set(met) and one["without_named"] < one["score"]
        assert one["neighbours"]["pool"] == 50 and one["terms"]["terms"]
        assert [a["name"] for a in one["attributes"]] == ["city=c3"]


def test_a_stranger_and_nobody_get_reasons_too(fitted: Path, command_line: Run) -> None:
    (one,) = ask(command_line, fitted, "--history", "i0,i4", "--item", "i8", "--no-terms")
    assert one["item_id"] == "i8" and one["terms"] is None and one["neighbours"] is None
    assert [e["name"] for e in one["events"]] == sorted(
        ("i0", "i4"), key=lambda i: -{e["name"]: e["contribution"] for e in one["events"]}[i]
    )
    (start,) = ask(command_line, fitted, "-k", "1")
    assert start["because"] == "popular" and start["events"] == [] and start["named"] == []
    (profiled,) = ask(command_line, fitted, "--attributes", "city=c1", "-k", "1")
    assert profiled["because"] == "attributes"


def test_tables_are_for_people(fitted: Path, shop: Path, command_line: Run) -> None:
    done = command_line(
        *("explain", "--model", "model", *files(shop), "--user", "u3", "-k", "1"), folder=fitted
    )
    assert done.returncode == 0, done.stderr
    for part in ("because of the history", "Scorers:", "Words:", "of the 50 nearest", "together"):
        assert part in " ".join(done.stdout.split())
    checked = command_line(
        *("explain", "--model", "model", *files(shop), "--check", "10"), folder=fitted
    )
    assert "Deletion test over 10 users" in " ".join(checked.stdout.split()), checked.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--user", "u3"], 2, "'u3' is not among the 0 known users"),
        (["--history", "i0,zzz"], 2, "'zzz' is not in the catalogue"),
        (["--history", "i0", "--item", "i0"], 3, "is in the history"),
        (["--history", "i0", "--item", "zzz"], 3, "'zzz' is not in the model's catalogue"),
        (["--history", "i0", "--user", "u3"], 2, "not both"),
        (["--items", "products.csv"], 2, "needs --interactions"),
        (["--check", "5"], 3, "None of 0 users"),
    ],
)
def test_mistakes_are_told_in_one_sentence(
    fitted: Path, command_line: Run, arguments: list[str], status: int, said: str
) -> None:
    done = command_line("explain", "--model", "model", *arguments, folder=fitted)
    assert done.returncode == status
    assert said in " ".join(done.stderr.split()) and "Traceback" not in done.stderr


def test_an_unknown_user_is_told_of_similar_ids(
    fitted: Path, shop: Path, command_line: Run
) -> None:
    done = command_line(
        *("explain", "--model", "model", *files(shop), "--user", "u333"), folder=fitted
    )
    assert done.returncode == 2 and "Similar ids: u33" in " ".join(done.stderr.split())


def test_without_a_champion_it_says_what_to_do(tmp_path: Path, command_line: Run) -> None:
    done = command_line("explain", "--user", "1", folder=tmp_path)
    assert done.returncode == 3 and "--model" in done.stderr
