"""Small histories with known structure."""

import numpy as np

from counterpoint.histories import Histories


def histories(lists, positive=None, timestamps=None, names=None):
    """Histories of item lists; all events positive unless said otherwise."""
    items = np.array([item for one in lists for item in one], dtype=np.int64)
    return Histories(
        names or [f"u{n}" for n in range(len(lists))],
        np.concatenate([[0], np.cumsum([len(one) for one in lists])]).astype(np.int64),
        items,
        np.ones(len(items), bool) if positive is None else np.array(positive, bool),
        np.arange(len(items)) if timestamps is None else np.array(timestamps, dtype=np.int64),
    )


def two_tastes(users=40, seed=0):
    """Half of the users like items 0-9, half items 10-19; item 20 is never liked."""
    rng = np.random.default_rng(seed)
    lists = [(rng.permutation(10)[:5] + 10 * (u % 2)).tolist() for u in range(users)]
    return histories(lists)


def two_texts():
    """(21, 4) unit vectors: those of items 0-9 alike, those of 10-19 alike, item 20 without."""
    rng = np.random.default_rng(0)
    text = rng.normal(scale=0.2, size=(21, 4)).astype(np.float32)
    text[:10, 0] += 1
    text[10:20, 1] += 1
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    text[20] = 0
    return text


def dense(lists, n_items):
    """(U, N) binary matrix."""
    matrix = np.zeros((len(lists), n_items))
    for row, one in enumerate(lists):
        matrix[row, one] = 1
    return matrix
