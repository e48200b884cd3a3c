from pathlib import Path

from counterpoint import ablation, tables
from counterpoint.ablation_variants import DEFAULT, Variant
from counterpoint.config import Config, SplitConfig
from counterpoint.trial_data import TrialData
from tests.counterpoint.worlds import world

SETTINGS = Config.model_validate(
    {
        "train": {
            "encoder": {"model": None},
            "tower": {"dim": 8},
            "fit": {"epochs": 1, "min_steps": 2, "batch_size": 32},
        },
        "evaluate": {"metrics": ["ndcg", "coverage"], "resamples": 200},
    }
)
VARIANTS = [Variant(DEFAULT, "all"), Variant("flat", "graph", {"train.tower.smoothing": 0.0})]


def test_the_grid_is_trained_once_and_continued(tmp_path: Path) -> None:
    tables.write(world(), tmp_path / "tables")
    data = {"per_user": TrialData(tmp_path / "tables", SplitConfig(protocol="per_user"))}

    def run(seeds: list[int], budget: float | None) -> dict:
        return ablation.run(
            SETTINGS,
            VARIANTS,
            data,
            content_sha256="x",
            seeds=seeds,
            output=tmp_path / "out",
            budget_seconds=budget,
        )

    nothing = run([0], 0.0)
    assert nothing["skipped"] == 2 and nothing["protocols"][0]["rows"] == []

    first = run([0], None)
    (table,) = first["protocols"]
    assert [row["name"] for row in table["rows"]] == [DEFAULT, "flat"]
    assert first["skipped"] == 0 and table["users"] > 0
    assert all(row["mean"] > 0 and row["cpu_seconds"] > 0 for row in table["rows"])
    assert table["rows"][1]["difference"]["users"] == table["users"]

    # Nothing is left to train, so no budget is needed; a further seed would need one.
    again = run([0, 1], 0.0)
    assert again["skipped"] == 2
    assert again["protocols"][0]["rows"] == table["rows"]
    for name in (ablation.RESULT, ablation.TABLE, ablation.PAGE):
        assert (tmp_path / "out" / name).is_file()
