import numpy as np
import pytest

from counterpoint import cross_validation, tables
from counterpoint.comparison import MODEL
from counterpoint.config import Config
from counterpoint.errors import ConfigError
from counterpoint.trials import Trial
from tests.counterpoint.worlds import world

SETTINGS = Config.model_validate(
    {
        "features": {"split": {"test_fraction": 0.15, "valid_fraction": 0.15}},
        "evaluate": {
            "metrics": ["ndcg"],
            "baselines": {"popularity": {}, "ease": {}},
            "resamples": 300,
        },
        "train": {
            "encoder": {"model": None},
            "tower": {"dim": 8},
            "fit": {"epochs": 1, "min_steps": 4, "max_steps": 4, "batch_size": 32},
        },
    }
)


def trial(method, values, *, seed=None, users=None):
    ids = users or [f"u{number}" for number in range(len(values))]
    vector = np.array(values, dtype=float)
    return Trial(method, seed, {"ndcg": vector.mean()}, ids, vector, 9, 1.0, 2.0, {})


def test_summary_known_answer():
    users = [f"u{number}" for number in range(20)]
    late = users[10:] + [f"v{number}" for number in range(10)]
    windows = [
        {
            "ease": [trial("ease", [0.2] * 20, users=users)],
            MODEL: [
                trial(MODEL, [0.3] * 20, seed=0, users=users),
                trial(MODEL, [0.5] * 20, seed=1, users=users),
            ],
        },
        {
            "ease": [trial("ease", [0.4] * 20, users=late)],
            MODEL: [trial(MODEL, [0.5] * 20, seed=s, users=late) for s in (0, 1)],
        },
    ]
    found = cross_validation.summarise(windows, SETTINGS)
    assert found["windows"][0]["methods"] == pytest.approx({"ease": 0.2, MODEL: 0.4})
    assert found["windows"][0]["comparisons"]["ease"]["mean"] == pytest.approx(0.2)
    assert found["methods"][MODEL]["mean"] == pytest.approx(0.45)
    assert found["methods"][MODEL]["std"] == pytest.approx(np.std([0.4, 0.5], ddof=1))
    assert found["methods"][MODEL]["seed_std"] == pytest.approx(np.std([0.3, 0.5], ddof=1) / 2)
    assert found["methods"]["ease"]["seed_std"] is None
    # Ten users with 0.2, ten with 0.1, ten in both windows with 0.15.
    over = found["comparisons"]["ease"]
    assert over["users"] == 30 and over["mean"] == pytest.approx(0.15)
    assert 0.1 < over["low"] < 0.15 < over["high"] < 0.2
    page = cross_validation.markdown(found)
    assert "| **model** | 0.4000 | 0.5000 | 0.4500 ± 0.0707 |" in page
    assert page.index("**model**") < page.index("| ease |")


def test_unknown_names_are_refused_before_any_work(tmp_path):
    wrong = SETTINGS.evaluate.model_copy(update={"baselines": {"eese": {}}})
    with pytest.raises(ConfigError, match="eese"):
        cross_validation.run(
            SETTINGS.model_copy(update={"evaluate": wrong}),
            tmp_path / "none",
            windows=2,
            seeds=[0],
            output=tmp_path / "out",
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_every_method_is_judged_on_every_window(tmp_path):
    tables.write(world(), tmp_path / "data")
    options = {"windows": 2, "seeds": [0, 1], "output": tmp_path / "out"}
    found = cross_validation.run(SETTINGS, tmp_path / "data", **options)
    assert set(found["methods"]) == {"popularity", "ease", MODEL}
    assert found["spans"][0]["last"] < found["spans"][1]["first"]
    assert len(list((tmp_path / "out" / "trials").iterdir())) == 2 * (2 + 2)
    assert (tmp_path / "out" / cross_validation.TABLE).read_text().count("| ease |") == 1
    again = cross_validation.run(SETTINGS, tmp_path / "data", **options)
    assert again == found
