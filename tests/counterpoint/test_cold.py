import numpy as np
import pytest
import torch

from counterpoint.cold import TIE, ColdExtension, attribute_vocabulary, item_features, ridge_map
from counterpoint.config.train import ColdConfig
from counterpoint.errors import DataError

RNG = np.random.default_rng(0)


def unit(rows: int, width: int) -> np.ndarray:
    vectors = RNG.standard_normal((rows, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def extension(warm: np.ndarray, features: np.ndarray, boost: float = 0.0) -> ColdExtension:
    return ColdExtension(
        torch.from_numpy(warm),
        torch.from_numpy(
            ridge_map(features[: len(warm)], warm.astype(np.float32), ColdConfig(ridge=2.0))
        ),
        torch.from_numpy(features),
        boost=boost,
    )


def test_cold_scores_are_the_kernel_ridge_regression_of_the_warm_ones() -> None:
    features, warm = unit(9, 4), np.array([True] * 7 + [False] * 2)
    scores = RNG.standard_normal((3, 9)).astype(np.float32)
    evidence = RNG.standard_normal((3, 9)).astype(np.float32)
    cold = extension(warm, features, boost=0.5)
    out = cold(torch.from_numpy(scores), torch.from_numpy(evidence)).numpy()
    np.testing.assert_array_equal(out[:, :7], scores[:, :7])
    kernel, told = features @ features.T, evidence[:, :7]
    standard = (told - told.mean(1, keepdims=True)) / told.std(1, keepdims=True)
    dual = np.linalg.solve(kernel[:7, :7] + 2.0 * np.eye(7), standard.T)
    mean, spread = scores[:, :7].mean(1, keepdims=True), scores[:, :7].std(1, keepdims=True)
    expected = mean + spread * ((kernel[7:, :7] @ dual).T + 0.5) - [0, TIE / 1001]
    np.testing.assert_allclose(out[:, 7:], expected, rtol=1e-4, atol=1e-5)


def test_an_item_nothing_is_known_about_scores_below_every_warm_item() -> None:
    features = unit(5, 4)
    features[4] = 0
    warm = np.array([True, True, True, False, False])
    scores = torch.from_numpy(RNG.standard_normal((2, 5)).astype(np.float32))
    out = extension(warm, features)(scores, scores)
    assert torch.isfinite(out).all()
    assert (out[:, 4] < out[:, :3].min(1).values).all()


def test_items_added_later_are_appended() -> None:
    features, warm = unit(6, 4), np.array([True, True, False, True])
    scores = torch.from_numpy(RNG.standard_normal((2, 4)).astype(np.float32))
    out = extension(warm, features)(scores, scores)
    assert out.shape == (2, 6)
    torch.testing.assert_close(out[:, [0, 1, 3]], scores[:, [0, 1, 3]])
    before = extension(warm, features[:4])(scores, scores)
    torch.testing.assert_close(out[:, :4], before)


def test_no_two_cold_items_tie() -> None:
    features = np.repeat(unit(1, 4), 6, axis=0)
    features[4:] = 0
    out = extension(np.array([True, True]), features)(torch.zeros(1, 2), torch.zeros(1, 2))
    assert out[0, 2:].unique().numel() == 4


def test_no_warm_item_leaves_finite_scores() -> None:
    out = extension(np.array([False, False]), unit(2, 3))(torch.zeros(1, 2), torch.zeros(1, 2))
    assert torch.isfinite(out).all()


def test_features_are_a_kernel_of_text_and_attributes() -> None:
    text = unit(3, 4)
    tokens = [["g=a", "g=b"], ["g=a"], ["only=here"]]
    vocabulary = attribute_vocabulary(tokens, max_tokens=10)
    assert vocabulary == ["g=a"]
    features = item_features(text, tokens, vocabulary, ColdConfig(attribute_weight=0.5))
    kernel = features @ features.T
    np.testing.assert_allclose(kernel[0, 1], text[0] @ text[1] + 0.5, rtol=1e-5)
    np.testing.assert_allclose(kernel[0, 2], text[0] @ text[2], rtol=1e-4, atol=1e-6)
    assert features.dtype == np.float32


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_that_are_no_numbers_are_refused_with_the_item(value: float) -> None:
    text = unit(5, 4)
    text[3, 1] = value
    with pytest.raises(DataError, match=r"1 of 5 text vectors.*item number 3"):
        item_features(text, [[]] * 5, [], ColdConfig())


def test_only_the_most_popular_items_are_regressed_on() -> None:
    features = unit(6, 4)
    popularity = np.array([5, 0, 1, 9, 2, 3], np.float32)
    found = ridge_map(features, popularity, ColdConfig(ridge=2.0, max_items=3))
    some = [0, 3, 5]
    alone = ridge_map(features[some], popularity[some], ColdConfig(ridge=2.0))
    np.testing.assert_allclose(found[some], alone, rtol=1e-5)
    assert not found[[1, 2, 4]].any()
    few = ridge_map(features, popularity, ColdConfig(ridge=2.0, max_items=100))
    assert few[[0, 2, 3, 4, 5]].any(1).all() and not few[1].any()
