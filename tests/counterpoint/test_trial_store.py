from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from counterpoint.config import Config, SplitConfig
from counterpoint.errors import DataError
from counterpoint.trial_data import TrialData
from counterpoint.trial_store import TrialStore, key
from counterpoint.trials import Trial
from tests.counterpoint.test_trial_comparison import trial

DATA = TrialData(Path("here"), SplitConfig())


def test_the_key_depends_on_everything_but_the_place() -> None:
    settings = Config()
    train = settings.train.model_copy(update={"seed": 1})

    def name(method: str = "model", data: TrialData = DATA, sha: str = "x", **changed: Any) -> str:
        more = changed.pop("more", None)
        return key(method, data, sha, settings.model_copy(update=changed), more=more)

    same = name()
    assert name(data=replace(DATA, folder=Path("there"))) == same
    others = [
        name(method="ease"),
        name(sha="y"),
        name(train=train),
        name(data=replace(DATA, fold="valid")),
        name(data=replace(DATA, split=SplitConfig(seed=1))),
        name(more={"l2": 1.0}),
    ]
    assert len({same, *others}) == 7


def test_a_finished_trial_is_not_run_again(tmp_path: Path) -> None:
    runs: list[int] = []

    def run() -> Trial:
        runs.append(1)
        return trial({"a": 0.25, "b": float("nan")})

    store = TrialStore(tmp_path)
    assert not store.has("one")
    first, second = store.obtain("one", run), store.obtain("one", run)
    assert len(runs) == 1 and store.has("one")
    np.testing.assert_array_equal(first.primary, second.primary)
    assert replace(first, primary=second.primary) == second or np.isnan(first.primary).any()
    TrialStore(tmp_path, reuse=False).obtain("one", run)
    assert len(runs) == 2


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text('{"method": "model"')
    with pytest.raises(DataError, match=r"one\.json"):
        TrialStore(tmp_path).obtain("one", lambda: trial({"a": 1.0}))
