from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from counterpoint import onnx_graphs, training
from counterpoint.landmarks import Landmarks, landmarks_of
from counterpoint.recommender import Recommender
from tests.counterpoint import toys
from tests.counterpoint.batch_maker import batch, two_tower

OPTIONS = {"count": 9, "share": 0.4, "temperature": 0.1, "length": 50, "seed": 0}


def test_by_hand() -> None:
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    mix = Landmarks(vectors, torch.tensor(0.25), torch.tensor(0.5))
    users = torch.tensor([[0.6, 0.8]])
    near = torch.softmax(torch.tensor([0.6, 0.8]) / 0.5, 0)
    mixed = 0.75 * users[0] + 0.25 * near
    torch.testing.assert_close(mix(users)[0], mixed / mixed.norm())
    assert torch.autograd.gradcheck(
        mix.double(), (torch.randn(3, 2, dtype=torch.float64, requires_grad=True),)
    )


def test_landmarks_are_the_vectors_of_users_who_liked_something() -> None:
    torch.manual_seed(0)
    model = two_tower(10).eval()
    users = toys.histories([(0, True), (1, True)], [(2, False)], [], [(3, True)])
    found = landmarks_of(model.user, users, **OPTIONS)
    expected = model.user(batch([[0, 1], [3]], [[], []]))
    torch.testing.assert_close(found.vectors, expected)
    one = landmarks_of(model.user, users, **OPTIONS | {"count": 1})
    assert len(one.vectors) == 1 and torch.isclose(expected, one.vectors).all(1).any()
    assert landmarks_of(model.user, toys.histories([(2, False)]), **OPTIONS) is None


def test_a_user_moves_towards_similar_users_and_full_temperature_to_their_mean() -> None:
    torch.manual_seed(0)
    model = two_tower(10).eval()
    users = toys.histories([(0, True), (1, True)], [(7, True)], [(0, True), (2, True)])
    plain = model.user(batch([[0]], [[]])).detach()
    model.user.landmarks = landmarks_of(model.user, users, **OPTIONS)
    near = model.user.landmarks.vectors[(model.user.landmarks.vectors @ plain[0]).argmax()]
    moved = model.user(batch([[0]], [[]])).detach()
    assert (moved @ near).item() > (plain @ near).item()
    model.user.landmarks.share.fill_(0.0)
    torch.testing.assert_close(model.user(batch([[0]], [[]])), plain)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Recommender:
    tables = toys.world()
    folded, drawn = toys.prepared(tables)
    tower = {"dim": 8, "neighbours": 4, "user_smoothing": 0.5, "landmarks": 12}
    config = toys.small_config(tower=tower | {"history_smoothing": 0.3, "layers": 2})
    return training.fit(
        folded, tables.items, tables.users, drawn, config, workdir=tmp_path_factory.mktemp("work")
    )


def test_a_new_user_is_smoothed_in_the_saved_and_the_exported_model(
    trained: Recommender, tmp_path: Path
) -> None:
    assert trained.module.tower.user.landmarks.vectors.shape == (12, 8)
    users = toys.histories([(0, True), (3, False)], [])
    trained.save(tmp_path / "model")
    loaded = Recommender.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.score(users), trained.score(users))
    loaded.module.tower.user.landmarks = None
    assert not np.allclose(loaded.score(users), trained.score(users))

    path = tmp_path / "model.onnx"
    onnx_graphs.export_recommender(trained, path, opset=17)
    inputs = trained.inputs(users)
    profile = np.zeros((2, max(1, inputs.profile.shape[1])), dtype=np.float32)
    feed = {
        "history": inputs.history,
        "history_age": inputs.history_age,
        "history_kind": inputs.history_kind,
        "profile": profile,
        "exclude": np.zeros((2, 1), dtype=np.int64),
        "allow": np.zeros((2, 1), dtype=np.int64),
        "k": np.full((2, 1), 5, dtype=np.int64),
    }
    items, scores, _, _ = onnxruntime.InferenceSession(str(path)).run(None, feed)
    with torch.inference_mode():
        expected = trained.module(*(torch.from_numpy(value) for value in feed.values()))
    np.testing.assert_array_equal(items, expected[0].numpy())
    np.testing.assert_allclose(scores, expected[1].numpy(), atol=1e-4)
