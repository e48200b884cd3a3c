"""iALS: matrix factorisation of implicit feedback, with exact fold-in of any history.

Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (ICDM 2008). With
confidence ``c`` for a liked item and 1 for any other, the factors of a user with liked items h are

    u = (V'V + (c - 1) V_h'V_h + l2 I)^-1  c sum of the v_i in h

so no user has a parameter of its own. The factorisation is that of the library ``implicit``.
"""

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares


def factorise(
    liked: sp.csr_matrix,
    *,
    factors: int,
    confidence: float,
    l2: float,
    iterations: int = 15,
    seed: int = 0,
) -> AlternatingLeastSquares:
    """Fit the factors of a binary matrix, on one thread: the same seed gives the same factors.

    Args:
        liked: (U, N) binary.
        factors: d.
        confidence: c.
        l2: Ridge on users and items.
        iterations: Sweeps over users and items.
        seed: Of the initial factors.
    """
    model = AlternatingLeastSquares(
        factors=factors,
        regularization=l2,
        alpha=confidence,
        use_cg=False,
        iterations=iterations,
        num_threads=1,
        random_state=seed,
    )
    model.fit(sp.csr_matrix(liked, dtype=np.float32), show_progress=False)
    return model


def fold_in(model: AlternatingLeastSquares, liked: sp.csr_matrix) -> npt.NDArray[np.float32]:
    """Return (B, N) scores of users given by their (B, N) binary rows; an empty row scores 0."""
    rows = sp.csr_matrix(liked, dtype=np.float32)
    users = model.recalculate_user(np.arange(rows.shape[0]), rows)
    return np.asarray(users @ model.item_factors.T, dtype=np.float32)
