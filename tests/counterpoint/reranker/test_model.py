"""Judging, saving, exporting and blending a re-ranker."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from counterpoint import training
from counterpoint.config.reranker import StudentConfig
from counterpoint.config.serve import ExportConfig
from counterpoint.errors import ConfigError, DataError, QualityError
from counterpoint.metrics import EMPTY
from counterpoint.recommender import Recommender
from counterpoint.reranker import batches, blend, export
from counterpoint.reranker.examples import Examples, standardised
from counterpoint.reranker.features import NAMES, PairFeatures
from counterpoint.reranker.model import Reranker, Settings, features_of
from counterpoint.reranker.statistics import ItemStatistics, Units
from counterpoint.reranker.student import Student
from tests.counterpoint import toys
from tests.counterpoint.reranker import circle

UNITS = Units(liked=0.7, mean=3.5, spread=1.2, low=1.0, high=5.0)


@pytest.fixture(scope="module")
def recommender(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    tables = toys.world()
    interactions, examples = toys.prepared(tables)
    folder = tmp_path_factory.mktemp("bert")
    encoder = {"model": str(circle.write_backbone(folder / "model")), "cache": str(folder)}
    return training.fit(
        interactions,
        tables.items,
        tables.users,
        examples,
        toys.small_config(encoder=encoder),
        workdir=tmp_path_factory.mktemp("work"),
    )


def reranker_of(recommender: Recommender, *, weight: float = 0.5) -> Reranker:
    """A re-ranker of random weights."""
    config = StudentConfig(dim=4, hidden=8, events=6)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        size = len(NAMES)
        student = Student(features_of(recommender), config, torch.randn(size), torch.ones(size))
        with torch.no_grad():
            for value in student.parameters():
                value.copy_(torch.randn(value.shape) * 0.5)
        statistics = torch.randn(recommender.n_items, 3)
    settings = Settings(weight, 8, 6, True, UNITS, config)
    return Reranker(student.eval(), statistics, torch.zeros(3), settings, {"why": "a test"})


HISTORIES = toys.histories(
    [(0, True), (2, True), (1, False)], [(5, True)], [], [(i, i % 2 == 0) for i in range(12)]
)


def judged(found: Reranker, recommender: Recommender) -> np.ndarray:
    parts = blend.candidates(found, recommender, HISTORIES, recommender.n_items)
    return np.concatenate([near.logit for _, _, near in parts])


def test_features_are_what_their_names_say() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(6, 5)).astype(np.float32)
    table[:, :3] /= np.linalg.norm(table[:, :3], axis=1, keepdims=True)
    features = PairFeatures(torch.from_numpy(table), 3)
    history, kind = torch.tensor([[1, 2, 3, 4, 0]]), torch.tensor([[1, 2, 3, 1, 0]])
    told = torch.randn(1, 2, 5)
    found = features(history, kind, torch.tensor([[5, 6]]), told)[0][0].numpy()
    own = table[:, 3:] / np.linalg.norm(table[:, 3:], axis=1, keepdims=True)
    liked, other = [0, 2, 3], [1]
    for place, item in enumerate((4, 5)):
        text, attributes = table[:, :3] @ table[item, :3], own @ own[item]
        expected = dict(zip(NAMES[:5], told[0, place].tolist(), strict=True)) | {
            "activity": np.log(5) / 5,
            "liked_share": 4 / 6,
            "text_liked": text[liked].mean(),
            "text_nearest": text[liked].max(),
            "text_other": text[other].mean(),
            "attributes_liked": attributes[liked].mean(),
            "attributes_other": attributes[other].mean(),
        }
        for name, value in zip(NAMES, found[place], strict=True):
            assert value == pytest.approx(expected[name], abs=1e-5), name


def test_padding_and_the_other_candidates_change_nothing(recommender) -> None:
    student = reranker_of(recommender).student
    history, kind = torch.tensor([[3, 9, 4]]), torch.tensor([[1, 2, 1]])
    candidate, told = torch.tensor([[5, 6, 7]]), torch.randn(1, 3, 5)
    logit, rating = student(history, kind, candidate, told)
    pad = torch.zeros(1, 4, dtype=torch.int64)
    longer = student(torch.cat([history, pad], 1), torch.cat([kind, pad], 1), candidate, told)
    alone = student(history, kind, candidate[:, 1:2], told[:, 1:2])
    torch.testing.assert_close(longer, (logit, rating))
    torch.testing.assert_close(alone, (logit[:, 1:2], rating[:, 1:2]))
    turned = student(history.flip(1), kind.flip(1), candidate, told)
    assert (turned[0] - logit).abs().max() > 1e-4  # The order counts.


def test_what_is_served_sees_what_training_saw(recommender) -> None:
    """The graph computes by itself what examples carry: statistics, scores, leniency."""
    tables = toys.world()
    events, _ = toys.prepared(tables)
    index, units = recommender.item_index, Units.of(events)
    counted = ItemStatistics(events, index, units)
    found = reranker_of(recommender)
    found = replace(
        found,
        statistics=torch.from_numpy(counted.at(np.arange(len(index)), None)),
        settings=replace(found.settings, units=units),
    )
    for users, scores, near in blend.candidates(found, recommender, HISTORIES, len(index)):
        examples = Examples(
            HISTORIES.take(users),
            near.item,
            np.zeros(near.item.shape, dtype=np.float32),
            np.zeros(near.item.shape, dtype=np.float32),
            counted.at(np.maximum(near.item, 0), None),
            np.take_along_axis(standardised(scores, near.item), np.maximum(near.item, 0), axis=1),
            counted.leniency(HISTORIES.take(users), None),
        )
        given = batches.batch(examples, np.arange(len(users)), 12, units)
        with torch.inference_mode():
            whole = found.student(given.history, given.kind, given.candidate, given.told)[0]
        judge = found.judge()
        own = blend.judged(judge, HISTORIES.take(users), near.item, near.score, 12)
        there = near.item != EMPTY
        np.testing.assert_allclose(own[there], whole.numpy()[there], atol=1e-4)


def test_a_saved_re_ranker_judges_alike(recommender, tmp_path: Path) -> None:
    found = reranker_of(recommender)
    found.save(tmp_path)
    again = Reranker.load(tmp_path, recommender)
    assert again.settings == found.settings
    assert again.report == found.report
    np.testing.assert_array_equal(judged(again, recommender), judged(found, recommender))
    extended = recommender.extend(
        toys.world(items=26).items  # Two items more.
    )
    assert extended.n_items == recommender.n_items + 2
    later = Reranker.load(tmp_path, extended).judge()
    history, kind = batches.histories(HISTORIES, 6)
    same = torch.tensor([[1, 2, 25]] * 4)
    logit, rating = later(history, kind, same, torch.zeros(4, 3))
    assert torch.isfinite(logit).all()
    assert ((rating >= UNITS.low) & (rating <= UNITS.high)).all()


def test_a_damaged_or_foreign_re_ranker_is_refused(recommender, tmp_path: Path) -> None:
    found = reranker_of(recommender)
    found.save(tmp_path)
    path = tmp_path / "reranker.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-8] + b"\0" * 8)
    with pytest.raises(DataError, match="is not the file"):
        Reranker.load(tmp_path, recommender)
    path.unlink()
    with pytest.raises(DataError, match="no usable re-ranker"):
        Reranker.load(tmp_path, recommender)
    replace(found, statistics=torch.zeros(99, 3)).save(tmp_path)
    with pytest.raises(DataError, match="made for 99 items"):
        Reranker.load(tmp_path, recommender)


def test_the_graph_judges_as_torch_does(recommender, tmp_path: Path, monkeypatch) -> None:
    found, path = reranker_of(recommender), tmp_path / "reranker.onnx"
    config = ExportConfig()
    assert export.write(found, recommender, HISTORIES, path, config) < 1e-4
    other = replace(found, statistics=found.statistics + 1)
    with pytest.raises(QualityError, match="differs from torch's by"):
        export._check(path, other, recommender, HISTORIES, config.tolerance)
    blind = replace(found, settings=replace(found.settings, ratings=False))
    assert export.write(blind, recommender, HISTORIES, path, config) < 1e-4
    monkeypatch.setattr(export, "MAX_BYTES", 10)
    with pytest.raises(ConfigError, match=r"train\.reranker = null"):
        export.write(found, recommender, HISTORIES, path, config)


def test_re_ranking_only_reorders_the_best(recommender) -> None:
    found = reranker_of(recommender)
    before = recommender.score(HISTORIES)
    before[HISTORIES.owners, HISTORIES.items] = -np.inf
    after = blend.Reranked(recommender, found).score(HISTORIES)
    moved = 0
    for user in range(len(HISTORIES)):
        np.testing.assert_array_equal(np.sort(after[user]), np.sort(before[user]))
        old, new = np.argsort(-before[user])[:8], np.argsort(-after[user])[:8]
        assert set(old) == set(new)
        moved += int((old != new).sum())
    assert moved > 0
    off = replace(found, settings=replace(found.settings, weight=0.0))
    np.testing.assert_array_equal(blend.Reranked(recommender, off).score(HISTORIES), before)


def test_the_weight_is_0_unless_re_ranking_is_clearly_better() -> None:
    rng = np.random.default_rng(0)
    users, n_items = 80, 12
    liked = rng.integers(0, n_items, users)
    targets = sp.csr_matrix((np.ones(users, bool), (np.arange(users), liked)), (users, n_items))
    item = np.tile(np.arange(n_items), (users, 1))
    score = np.tile(np.linspace(1, 0, n_items, dtype=np.float32), (users, 1))
    noise = rng.normal(size=(users, n_items)).astype(np.float32)
    knows = noise.copy()
    knows[np.arange(users), liked] += 4
    for logit, clearly in ((noise, False), (knows, True)):
        near = blend.Candidates(item, score, logit)
        values = {w: blend.ndcg_of(near.order(w), targets) for w in (0.0, 0.5, 2.0)}
        weight = blend.nearest_of_best(values, abs)
        assert (weight > 0) == clearly
