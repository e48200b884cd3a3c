"""The command ``ablate``, without training."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from counterpoint.errors import ConfigError
from pipelines.cli import app


def _refused(*arguments: str) -> ConfigError:
    error = CliRunner().invoke(app, ["ablate", *arguments]).exception
    assert isinstance(error, ConfigError)
    return error


def test_list_shows_the_grid_and_trains_nothing(tmp_path: Path) -> None:
    own = "wide:train.tower.dim=256"
    output = str(tmp_path / "out")
    shown = CliRunner().invoke(app, ["ablate", "--list", "--variant", own, "--output", output])
    assert shown.exit_code == 0
    for name in ("default", "without text", "without order", "wide"):
        assert name in shown.output
    assert not (tmp_path / "out").exists()


def test_wrong_variants_are_refused_before_anything_is_read() -> None:
    assert "'nothing'" in str(_refused("--only", "nothing"))
    assert "train.tower.dimm" in str(_refused("--variant", "wide:train.tower.dimm=2"))


def test_a_features_folder_has_its_own_split(tmp_path: Path) -> None:
    arguments = ("--features", str(tmp_path), "--protocol", "per_user")
    assert "--protocol" in str(_refused(*arguments))


@pytest.mark.slow
def test_ablate_writes_table_and_page(shop: Path, tmp_path: Path) -> None:
    tiny = ["train.encoder.model=null", "train.fit.epochs=1", "train.fit.min_steps=2"]
    source = f"ingest.options={{interactions: '{shop / 'interactions.csv'}'}}"
    settings = [*tiny, "ingest.dataset=tables", source]
    sets = [part for setting in settings for part in ("--set", setting)]
    output = str(tmp_path / "out")
    arguments = ["--only", "prior", "--seeds", "1", "--fold", "valid", "--protocol", "per_user"]
    done = CliRunner().invoke(app, ["ablate", *arguments, "--output", output, *sets])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "out" / "ablation.md").read_text()
    assert "judged on the valid fold" in text and "| without prior |" in text
    assert (tmp_path / "out" / "ablation.html").is_file()
