import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.encoder.tokens import TokenTable

lengths_of = st.lists(st.integers(1, 40), min_size=1, max_size=60)


def table(lengths: list[int]) -> TokenTable:
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return TokenTable(np.arange(1, indptr[-1] + 1), indptr, pad=0)


@given(lengths_of, st.integers(1, 200), st.randoms(use_true_random=False))
def test_chunks_hold_every_text_once_within_the_bound(lengths, tokens, random) -> None:
    known = table(lengths)
    rows = np.array(random.choices(range(len(lengths)), k=random.randint(1, 80)))
    chunks = known.chunks(rows, tokens)
    assert sorted(np.concatenate(chunks)) == list(range(len(rows)))
    for chunk in chunks:
        size = len(chunk) * known.lengths[rows[chunk]].max()
        assert size <= tokens or len(chunk) == 1


@given(lengths_of)
def test_a_batch_is_the_texts_padded_on_the_right(lengths) -> None:
    known = table(lengths)
    rows = np.arange(len(lengths))[::-1].copy()
    ids, mask = known.batch(rows)
    assert ids.shape == mask.shape == (len(lengths), max(lengths))
    for row, given_ids, given_mask in zip(rows, ids.numpy(), mask.numpy(), strict=True):
        own = known.ids[known.indptr[row] : known.indptr[row + 1]]
        assert given_mask.tolist() == [1] * len(own) + [0] * (max(lengths) - len(own))
        assert given_ids[: len(own)].tolist() == own.tolist()
        assert not given_ids[len(own) :].any()
