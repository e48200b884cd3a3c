import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from counterpoint.encoder.contrast import Positives, info_nce, two_views
from counterpoint.encoder.tuning_objectives import log_inclusion


def unit(rows: int, width: int, seed: int) -> Tensor:
    vectors = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))
    return functional.normalize(vectors, dim=1)


def pairs_of(seed: int, texts: int, pairs: int) -> Positives:
    random = np.random.default_rng(seed)
    anchor = random.integers(texts, size=pairs)
    positive = (anchor + random.integers(1, texts, size=pairs)) % texts
    blocked = random.random((pairs, texts)) < 0.3
    blocked[np.arange(pairs), anchor] = blocked[np.arange(pairs), positive] = True
    return Positives(*(torch.from_numpy(part) for part in (anchor, positive, blocked)))


def plain(vectors: Tensor, pairs: Positives, temperature: float, correction: Tensor) -> float:
    """The formula, pair by pair."""
    losses = []
    for one, other in ((pairs.anchor, pairs.positive), (pairs.positive, pairs.anchor)):
        for pair in range(len(one)):
            i, j = int(one[pair]), int(other[pair])
            logits = {
                k: float(vectors[i] @ vectors[k]) / temperature - float(correction[k])
                for k in range(len(vectors))
                if k == j or not pairs.blocked[pair, k]
            }
            losses.append(np.log(sum(np.exp(v) for v in logits.values())) - logits[j])
    return float(np.mean(losses))


@given(st.integers(0, 10_000), st.integers(2, 9), st.integers(1, 12), st.sampled_from([0.05, 0.5]))
def test_info_nce_is_its_formula(seed: int, texts: int, pairs: int, temperature: float) -> None:
    vectors, drawn = unit(texts, 6, seed), pairs_of(seed, texts, pairs)
    correction = torch.log(torch.rand(texts, generator=torch.Generator().manual_seed(seed)) + 0.01)
    loss = info_nce(vectors, drawn, temperature=temperature, log_inclusion=correction)
    assert float(loss) == pytest.approx(plain(vectors, drawn, temperature, correction), abs=1e-4)


def test_matryoshka_is_the_mean_over_the_widths() -> None:
    vectors, drawn = unit(7, 8, 1), pairs_of(1, 7, 9)
    parts = [
        info_nce(functional.normalize(vectors[:, :width], dim=1), drawn, temperature=0.1)
        for width in (8, 4, 2)
    ]
    found = info_nce(vectors, drawn, temperature=0.1, widths=(4, 2, 8))
    assert float(found) == pytest.approx(float(torch.stack(parts).mean()))


def test_equal_views_are_found_and_equal_texts_are_no_negatives() -> None:
    vectors = unit(5, 32, 2)
    assert float(two_views(vectors, vectors, temperature=0.01)) < 1e-3
    vectors = vectors[[0, 0, 1, 2]]
    same = torch.tensor([[a == b for b in (0, 0, 1, 2)] for a in (0, 0, 1, 2)])
    assert float(two_views(vectors, vectors, temperature=0.01)) > 0.3
    assert float(two_views(vectors, vectors, temperature=0.01, same=same)) < 1e-3


def test_inclusion_is_what_drawing_shows() -> None:
    random = np.random.default_rng(0)
    share = random.dirichlet(np.ones(30))
    batch = 8
    seen = np.zeros(30)
    for _ in range(4000):
        seen[np.unique(random.choice(30, size=2 * batch, p=share))] += 1
    np.testing.assert_allclose(log_inclusion(share, batch).exp(), seen / 4000, atol=0.04)
