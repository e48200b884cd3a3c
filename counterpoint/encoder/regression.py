"""Learning to be regressed on: the text vectors of some items must predict the scores of others.

A step draws items and halves them. The score columns of one half (score_columns.py) are regressed
on its features, text beside attributes, by the same ridge regression that later scores new items
(cold.py); the regression is read off at the other half and compared with its true columns. The
solution is differentiated by the vectors (Bertinetto et al. 2019, *Meta-learning with
differentiable closed-form solvers*), so what is trained is what new items will be ranked by.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


@dataclass(frozen=True)
class RegressionTask:
    """Items with their score columns.

    Attributes:
        rows: (M,) row of each item's text.
        columns: (M, V) standardised scores.
        attributes: (M, A) the part of the features that is no text, weighted.
        ridge: Of the regression over all items; a step's is scaled to its number of items.
    """

    rows: npt.NDArray[np.int64]
    columns: Tensor
    attributes: Tensor
    ridge: float

    def draw(self, count: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
        """Return different items of the task, at most ``count``, in random order."""
        return random.permutation(len(self.rows))[:count]

    def loss(self, vectors: Tensor, items: npt.NDArray[np.int64]) -> Tensor:
        """Return the mean squared error of each half predicted from the other.

        Args:
            vectors: (B, D) unit vectors of the items' texts.
            items: (B,) of ``draw``, at least 2.
        """
        place = torch.from_numpy(items)
        columns = self.columns[place].to(vectors.device)
        features = torch.cat([vectors, self.attributes[place].to(vectors.device)], dim=1)
        half = len(items) // 2
        ridge = self.ridge * half / len(self.rows)
        losses = []
        for known, asked in ((slice(half), slice(half, None)), (slice(half, None), slice(half))):
            given = features[known]
            system = given @ given.T
            system = system + ridge * torch.eye(len(given), device=system.device)
            solution = torch.linalg.solve(system, columns[known])
            predicted = features[asked] @ (given.T @ solution)
            losses.append(((predicted - columns[asked]) ** 2).mean())
        return torch.stack(losses).mean()
