"""One unit vector per item, for "similar items".

An item somebody has liked has the vector the item tower learned. What the tower says of one that
nobody has liked was never checked against an interaction, so, as with the scores (see cold.py), its
vector is predicted from its features by ridge regression over the liked items:

    v(cold) = normalise(m + phi_cold W' (V - m)),  m = mean of the liked items' vectors V
"""

import numpy as np
import numpy.typing as npt
import torch

from counterpoint.graph import RecommenderModule


def similarity_vectors(module: RecommenderModule) -> npt.NDArray[np.float32]:
    """Return (N, d) vectors whose inner products say how alike items are.

    Rows have length 1, or 0 where nothing is known about the item.

    Args:
        module: A trained recommender.
    """
    cold = module.cold
    with torch.inference_mode():
        known = torch.nn.functional.normalize(module.tower.vectors, dim=1)
        found = torch.zeros(cold.n_items, known.shape[1])
        if cold.warm.any():
            mean = known[cold.warm].mean(0)
            from_features = torch.matmul(cold.ridge_map.T, known - mean)  # cold rows of W are 0
            predicted = mean + torch.matmul(cold.features, from_features)
            described = (cold.features != 0).any(1, keepdim=True)
            found = torch.nn.functional.normalize(predicted, dim=1) * described
            found[: cold.n_scored][cold.warm] = known[cold.warm]
    return found.numpy()
