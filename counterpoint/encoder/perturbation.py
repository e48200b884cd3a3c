"""Adversarial training: the loss is also minimised where its input is worst for it.

FGM (Miyato, Dai and Goodfellow 2017) takes one step along the gradient of the loss by the input
states; PGD (Madry et al. 2018) takes several and stays within the ball. The input is what the
trained part reads: token embeddings, or the output of the frozen blocks.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from counterpoint.config.encoder import AdversarialConfig
from counterpoint.encoder.reader import Loss, Reader
from counterpoint.encoder.tokens import Rows


class Perturbation:
    """Adds a vector to every token's states; a ``Reader.noise``.

    Args:
        config: Length and steps.
    """

    def __init__(self, config: AdversarialConfig) -> None:
        self._config = config
        self._added: list[Tensor] = []
        self._scale: list[Tensor] = []
        self._called = 0
        self._chunks = 0

    def begin(self, chunks: int) -> None:
        """Forget everything; a step encodes this many chunks, always in the same order."""
        self._added, self._scale, self._called, self._chunks = [], [], 0, chunks

    def __call__(self, states: Tensor) -> Tensor:
        """Return (B, T, d) states with what is added to the present chunk."""
        place = self._called % self._chunks
        self._called += 1
        if place == len(self._added):
            self._added.append(torch.zeros_like(states).requires_grad_(True))
            norm = states.detach().norm(dim=-1, keepdim=True)
            self._scale.append(self._config.epsilon * norm[norm > 0].mean())
        return states + self._added[place]

    def ascend(self, share: float) -> None:
        """Move along the gradient by a share of epsilon and stay within it."""
        for place, added in enumerate(self._added):
            bound = self._scale[place]
            gradient = added.grad if added.grad is not None else torch.zeros_like(added)
            length = gradient.norm(dim=-1, keepdim=True).clamp(min=1e-12)
            moved = added.detach() + share * bound * gradient / length
            over = moved.norm(dim=-1, keepdim=True).clamp(min=1e-12)
            self._added[place] = (moved * (bound / over).clamp(max=1.0)).requires_grad_(True)


def backward(
    reader: Reader,
    rows: Rows,
    loss_of: Loss,
    config: AdversarialConfig,
    parameters: list[nn.Parameter],
    *,
    passes: int,
    seed: Callable[[], None],
) -> tuple[Tensor, Tensor]:
    """Add the gradients of the plain and the perturbed loss; return both.

    Args:
        reader: Encodes.
        rows: (U,) texts.
        loss_of: The loss of their vectors.
        config: ``fgm`` or ``pgd``.
        parameters: What learns; its gradients are those of the two losses only, not of the steps
            towards the worst input.
        passes: How often the tower runs to encode the rows.
        seed: Sets the random state: all passes of a step share their dropout.
    """
    noise = Perturbation(config)
    noise.begin(passes)
    reader.noise = noise
    try:
        seed()
        plain = reader.backward(rows, loss_of)
        steps = config.steps if config.method == "pgd" else 1
        share = 1.0 if steps == 1 else 2.5 / steps  # Madry et al. cross the ball about twice.
        kept = [weight.grad.clone() if weight.grad is not None else None for weight in parameters]
        for step in range(steps):
            noise.ascend(share)
            last = step == steps - 1
            for weight in parameters:
                weight.grad = None
            seed()
            perturbed = reader.backward(rows, _weighted(loss_of, config.weight if last else 1.0))
        for weight, before in zip(parameters, kept, strict=True):
            if before is not None:
                weight.grad = before if weight.grad is None else weight.grad + before
    finally:
        reader.noise = None
    return plain, perturbed


def _weighted(loss_of: Loss, weight: float) -> Loss:
    return lambda vectors: weight * loss_of(vectors)
