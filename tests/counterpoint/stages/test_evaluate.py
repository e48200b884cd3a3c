import html
import json
import math

import polars as pl
import pytest

from counterpoint import artifacts, columns, examples, tables, training
from counterpoint.config import (
    EvaluateConfig,
    FeaturesConfig,
    GateConfig,
    SplitConfig,
    TrainConfig,
)
from counterpoint.errors import ConfigError, DataError
from counterpoint.stages import evaluate, gate
from tests.counterpoint.worlds import folded, world

SPLIT = SplitConfig(protocol="per_user", valid_fraction=0.2, test_fraction=0.2)
CONFIG = EvaluateConfig(k=5, baselines={"popularity": {}, "ease": {}}, resamples=300)
TRAIN = TrainConfig.model_validate(
    {
        "encoder": {"model": None},
        "tower": {"dim": 8},
        "fit": {"epochs": 1, "min_steps": 4, "max_steps": 4, "batch_size": 32},
    }
)


def train(source, folder, workdir):
    drawn = examples.plain_examples(
        source.interactions, source.users, FeaturesConfig(split=SPLIT, examples_per_user=2)
    )
    model = training.fit(
        source.interactions, source.items, source.users, drawn, TRAIN, workdir=workdir
    )
    model.save(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A features folder, a model of it, and a champion that knows fewer items."""
    root = tmp_path_factory.mktemp("evaluate it")
    known = folded(world(), SPLIT)
    (root / "features").mkdir()
    for name in ("interactions", "items", "users"):
        getattr(known, name).write_parquet(root / "features" / f"{name}.parquet")
    train(known, root / "model", root / "work")
    few = known.interactions.filter(~pl.col(columns.ITEM).is_in(["i0", "i1"]))
    older = tables.Tables(few, known.items.clear(), known.users)
    train(older, root / "champion", root / "older work")
    return root


@pytest.fixture(scope="module")
def evaluated(folders):
    return evaluate.run(
        CONFIG,
        features=folders / "features",
        model=folders / "model",
        evaluation=folders / "evaluation",
        champion=folders / "champion",
    )


def test_baselines_are_tuned_on_validation_and_every_trial_is_kept(folders, evaluated):
    found = evaluated.evaluation["baselines"]
    assert set(found) == {"popularity", "ease"}
    assert len(found["ease"]["tried"]) > 1
    best = max(found["ease"]["tried"], key=lambda trial: trial["ndcg"])
    assert best["options"] == found["ease"]["options"]
    page = (folders / "evaluation" / artifacts.REPORT).read_text("utf-8")
    assert "Tuning of the baselines" in page
    assert found["ease"]["why"] in page


def test_tuning_can_be_off_and_text_may_be_missing(folders):
    given = {"edlae_recency": {}, "cease": {"recency": 4.0}, "content": {}}
    result = evaluate.run(
        CONFIG.model_copy(update={"baselines": given, "tune_baselines": "none"}),
        features=folders / "features",
        model=folders / "model",
        evaluation=folders / "untuned",
    )
    assert not any(found["tried"] for found in result.evaluation["baselines"].values())
    methods = result.evaluation["methods"]
    # The model reads no text, so CEASE has no side information: it is EDLAE.
    assert methods["cease"] == methods["edlae_recency"]


def test_writes_everything_a_person_and_a_machine_need(folders, evaluated):
    out = folders / "evaluation"
    assert {path.name for path in out.iterdir()} == {
        artifacts.EVALUATION,
        artifacts.PER_USER,
        artifacts.REPORT,
    }
    content = tables.read_json(out / artifacts.EVALUATION)
    assert set(content["methods"]) == {"model", "champion", "popularity", "ease"}
    assert content == json.loads(json.dumps(evaluated.evaluation))
    per_user = pl.read_parquet(out / artifacts.PER_USER)
    assert per_user["method"].n_unique() == 4
    page = (out / artifacts.REPORT).read_text("utf-8")
    assert "champion" in page and page.count("<svg") == 3


def test_the_champion_is_judged_on_the_candidates_catalogue(evaluated):
    assert evaluated.evaluation["candidates"] == 37
    assert evaluated.evaluation["comparisons"]["champion"]["ndcg"]["users"] == 58
    assert evaluated.evaluation["methods"]["champion"]["coverage"] <= 34 / 37


def test_the_champion_is_given_the_new_items_it_can_score(folders, tmp_path):
    long_lists = {"k": 37, "metrics": ("ndcg", "coverage"), "resamples": 100, "baselines": {}}
    covered = {}
    for extend in (True, False):
        found = evaluate.run(
            EvaluateConfig(**long_lists, extend_champion=extend),
            features=folders / "features",
            model=folders / "model",
            evaluation=tmp_path / str(extend),
            champion=folders / "champion",
        )
        covered[extend] = found.evaluation["methods"]["champion"]["coverage"]
    assert covered[True] == 1
    assert covered[False] <= 34 / 37


def test_new_items_are_judged_beside_known_ones(evaluated):
    found = evaluated.evaluation["cold_start"]["model"]
    assert found["cold_candidates"] >= 1
    assert found["warm"]["users"] == 58
    assert evaluated.figures["warm_loss"] == found["warm_loss"]["relative"]


def test_figures_and_curve_are_finite_numbers(evaluated):
    assert all(math.isfinite(value) for value in evaluated.figures.values())
    assert {"ndcg", "test_users", "recall_at_20", "ndcg_over_ease_low", "auc"} <= set(
        evaluated.figures
    )
    assert len(evaluated.classification.fpr) <= 50
    assert "| ease |" in evaluated.notes


def test_the_same_inputs_give_the_same_files(folders, evaluated):
    again = evaluate.run(
        CONFIG,
        features=folders / "features",
        model=folders / "model",
        evaluation=folders / "again",
        champion=folders / "champion",
    )
    assert again.evaluation == evaluated.evaluation
    for name in (artifacts.EVALUATION, artifacts.REPORT):
        assert (folders / "again" / name).read_bytes() == (
            folders / "evaluation" / name
        ).read_bytes()


def test_faults_come_before_any_work(folders, tmp_path):
    paths = {"model": folders / "model", "evaluation": tmp_path / "out"}
    with pytest.raises(ConfigError, match="eese"):
        evaluate.run(EvaluateConfig(baselines={"eese": {}}), features=folders / "features", **paths)
    with pytest.raises(DataError, match="lacks interactions"):
        evaluate.run(CONFIG, features=tmp_path, **paths)
    tables.write(world(), tmp_path / "unfolded")
    with pytest.raises(DataError, match="no folds"):
        evaluate.run(CONFIG, features=tmp_path / "unfolded", **paths)
    assert not (tmp_path / "out").exists()


def test_gate_writes_its_decision(folders, evaluated, tmp_path):
    config = GateConfig(must_beat=("popularity",), champion_margin=1.0)
    result = gate.run(config, evaluation=folders / "evaluation", decision=tmp_path / "decision")
    written = tables.read_json(tmp_path / "decision" / artifacts.DECISION)
    assert written["promote"] is result.promote
    assert [r["condition"] for r in written["reasons"]] == [r.condition for r in result.reasons]
    text = (tmp_path / "decision" / gate.MARKDOWN).read_text("utf-8")
    page = html.unescape((tmp_path / "decision" / artifacts.DECISION_PAGE).read_text("utf-8"))
    assert all(reason.detail in text and reason.detail in page for reason in result.reasons)
    assert result.figures["conditions"] == len(result.reasons) > 10
    assert result.figures["not_judged"] == page.count("– not judged") > 0
    strict = GateConfig(min_users=10_000)
    held = gate.run(strict, evaluation=folders / "evaluation", decision=tmp_path / "held")
    assert not held.promote
    assert held.figures["failed"] >= 1
    with pytest.raises(DataError, match="Run the stage evaluate first"):
        gate.run(config, evaluation=tmp_path, decision=tmp_path / "none")
