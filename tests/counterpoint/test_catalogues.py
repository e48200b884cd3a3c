import numpy as np

from counterpoint.catalogues import on_catalogue
from counterpoint.histories import Histories


class CountingScorer:
    """Scores = number of events of the user, plus the item's own index / 100."""

    def __init__(self, n_items):
        self.n_items = n_items

    def score(self, histories):
        counts = np.diff(histories.indptr)[:, None]
        return (counts + np.arange(self.n_items) / 100).astype(np.float32)


def test_items_are_matched_by_id_and_unknown_ones_are_never_recommended():
    # Catalogue: new, a, b.  The scorer knows b, gone, a.
    scorer = on_catalogue(CountingScorer(3), ["b", "gone", "a"], ["new", "a", "b"])
    batch = Histories(
        ["u", "v"],
        np.array([0, 3, 4]),
        np.array([0, 1, 2, 0]),
        np.ones(4, dtype=bool),
        np.arange(4),
    )
    np.testing.assert_allclose(
        scorer.score(batch), [[-np.inf, 2.02, 2.00], [-np.inf, 0.02, 0.00]], rtol=1e-6
    )


def test_histories_reach_the_scorer_in_its_own_indices():
    received = {}

    class Recorder:
        def score(self, histories):
            received.update(items=histories.items.tolist(), indptr=histories.indptr.tolist())
            return np.zeros((len(histories), 3), dtype=np.float32)

    batch = Histories(
        ["u", "v"], np.array([0, 3, 4]), np.array([2, 0, 1, 1]), np.ones(4, bool), np.arange(4)
    )
    on_catalogue(Recorder(), ["b", "gone", "a"], ["new", "a", "b"]).score(batch)
    assert received == {"items": [0, 2, 2], "indptr": [0, 2, 3]}


def test_equal_catalogues_need_no_wrapper():
    scorer = CountingScorer(2)
    assert on_catalogue(scorer, ["a", "b"], ["a", "b"]) is scorer
