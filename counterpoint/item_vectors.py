"""One unit vector per item, for "similar items".

An item somebody has liked has the vector the item tower learned. What the tower says of one that
nobody has liked was never checked against an interaction, so, as with the scores (see cold.py), its
vector is predicted from its features by ridge regression over the liked items:

    v(cold) = normalise(m + phi_cold W' (V - m)),  m = mean of the liked items' vectors V

The map (W' (V - m), m) is exported too, so that items added while serving find their place.
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
    placing = torch.from_numpy(similarity_map(module))
    with torch.inference_mode():
        known = torch.nn.functional.normalize(module.tower.vectors, dim=1)
        predicted = placing[-1] + torch.matmul(cold.features, placing[:-1])
        described = (cold.features != 0).any(1, keepdim=True)
        found = torch.nn.functional.normalize(predicted, dim=1) * described
        found[: cold.n_scored][cold.warm] = known[cold.warm]
    return found.numpy()


def similarity_map(module: RecommenderModule) -> npt.NDArray[np.float32]:
    """Return the (F + 1, d) map from features to vectors; its last row is the mean.

    Args:
        module: A trained recommender.
    """
    cold = module.cold
    with torch.inference_mode():
        known = torch.nn.functional.normalize(module.tower.vectors, dim=1)
        if not cold.warm.any():
            return np.zeros((cold.features.shape[1] + 1, known.shape[1]), dtype=np.float32)
        mean = known[cold.warm].mean(0)
        from_features = torch.matmul(cold.ridge_map.T, known - mean)  # cold rows of W are 0
        return torch.cat([from_features, mean.unsqueeze(0)]).numpy()
