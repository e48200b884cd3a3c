import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from counterpoint.fusion import fuse, standardise


@pytest.mark.parametrize("how", ["all", "top"])
@given(
    scores=hnp.arrays(np.float32, (3, 12), elements=st.floats(-100, 100, width=32)),
    seen=hnp.arrays(np.bool_, (3, 12)),
)
def test_scores_become_comparable_without_changing_their_order(how, scores, seen) -> None:
    eligible = torch.from_numpy(~seen)
    out, factor = standardise(torch.from_numpy(scores), eligible, how, best=5)
    assert torch.isfinite(out).all() and (factor >= 0).all()
    for row in range(3):
        own = torch.from_numpy(scores)[row][eligible[row]]
        looked_at = own.sort(descending=True).values[:5] if how == "top" else own
        if len(looked_at) and looked_at.std(unbiased=False) > 1e-3:
            z = out[row][eligible[row]]
            order = own.argsort()
            assert (z[order].diff() >= 0).all()
            sample = z.sort(descending=True).values[:5] if how == "top" else z
            assert abs(sample.mean()) < 1e-2
            assert abs(sample.std(unbiased=False) - 1) < 1e-2


def test_equal_scores_become_zero() -> None:
    out, factor = standardise(torch.full((1, 4), 7.0), torch.ones(1, 4, dtype=torch.bool), "all")
    assert out.tolist() == [[0.0] * 4] and factor.item() == 0.0


def test_the_prior_fades_with_the_history_and_stands_alone_without_one() -> None:
    linear, tower, prior = (torch.tensor([[float(x)]] * 3) for x in (1, 10, 100))
    positives = torch.tensor([[0.0], [1.0], [9.0]])
    out = fuse([(1.0, linear), (2.0, tower)], prior, positives, 0.5)
    assert out.flatten().tolist() == [100.0, 21.0 + 50.0, 21.0 + 10.0]
