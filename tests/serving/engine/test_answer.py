import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serving.engine.answer import rows

lengths = st.lists(st.integers(0, 4), min_size=1, max_size=4)


@given(lengths, st.sampled_from([(np.float32, -1), (object, b"")]), st.sampled_from([(), (3,)]))
def test_rows_hold_what_they_were_made_of(
    sizes: list[int], kind: tuple[type, object], further: tuple[int, ...]
) -> None:
    dtype, filling = kind
    parts = []
    for number, size in enumerate(sizes):
        part = np.empty((size, *further), dtype=dtype)
        part[...] = str(number).encode() if dtype is object else number
        parts.append(part)
    found = rows(parts, filling)
    assert found.shape == (len(sizes), max(sizes), *further)
    assert found.dtype == dtype
    for row, part in zip(found, parts, strict=True):
        assert row[: len(part)].tolist() == part.tolist()
        assert all(value == filling for value in row[len(part) :].ravel().tolist())
