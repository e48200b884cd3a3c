import pytest
import typer
from typer.testing import CliRunner

from pipelines.teaching import TeachingCommand

app = typer.Typer()


@app.command(cls=TeachingCommand)
def work(name: str, count: int = 1, size: float = 1.0) -> None:
    print(name, count, size)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200", "NO_COLOR": "1"})
    return result.exit_code, result.output


def test_all_faults_are_listed_at_once_with_the_known_names() -> None:
    status, text = run("--cuont", "3", "--size", "big", "--other=1")
    assert status == 2
    for part in ("--cuont", "Did you mean --count?", "--other", "'big'", "--size", "'name'"):
        assert part in text


@pytest.mark.parametrize("arguments", [("a", "--count", "2"), ("--count=2", "a")])
def test_a_good_command_line_is_run(arguments: tuple[str, ...]) -> None:
    assert run(*arguments) == (0, "a 2 1.0\n")


def test_an_argument_too_many_is_refused() -> None:
    status, text = run("a", "b")
    assert status == 2
    assert "b" in text
