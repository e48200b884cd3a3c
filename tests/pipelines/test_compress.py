import json
from pathlib import Path

from typer.testing import CliRunner

from pipelines import cli
from tests.counterpoint.compression import encoders

runner = CliRunner()


def test_the_table_is_printed_and_written(tmp_path: Path) -> None:
    folders = encoders.trained(tmp_path)
    table = tmp_path / "out" / "table.json"
    arguments = ["compress", "--model", str(folders["model"])]
    arguments += ["--features", str(folders["features"]), "--output", str(table)]
    arguments += ["--variant", "fp16", "--variant", "layers:1", "-s"]
    done = runner.invoke(cli.app, [*arguments, "export.compression.folds=2"])
    assert done.exit_code == 0, done.output
    found = json.loads(table.read_text("utf-8"))
    assert [form["name"] for form in found["forms"]] == ["fp32", "fp16", "layers:1"]
    for form in found["forms"]:
        assert form["name"] in done.output
    assert f"The first accepted form: {found['served']}." in done.output


def test_every_malformed_variant_is_named() -> None:
    arguments = ["compress", "--model", "a", "--features", "b"]
    done = runner.invoke(cli.app, [*arguments, "--variant", "int9", "--variant", "layers:0"])
    assert done.exit_code != 0
    assert "int9" in str(done.exception) and "layers:0" in str(done.exception)
