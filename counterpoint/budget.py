"""What a candidate will cost, estimated from the sizes of the data.

Measured seconds would make the choices depend on the machine and its load; these do not. The
constants are CPU seconds of one current server core.
"""

from dataclasses import dataclass, field

SOLVE = 4e-11
"""Per cubed item of a closed form."""

MULTIPLY = 3e-11
"""Per cubed item, for a form with transitions."""

STEP = 8e-8
"""Per user and item of a tower step."""

EVENT = 1.5e-6
"""Per history event of a tower step."""

FACTOR = 4e-8
"""Per positive or row, factor and sweep of the factorisation."""

REGRESS = 2e-10
"""Per item and squared feature of a regression on the items' features."""


def linear_seconds(n_items: int, *, transitions: bool) -> float:
    """Cost of one closed form over so many items."""
    return (SOLVE + MULTIPLY * transitions) * float(n_items) ** 3 + 0.05


def tower_seconds(steps: int, *, batch: int, n_items: int, events: float) -> float:
    """Cost of training towers.

    Args:
        steps: Optimiser steps.
        batch: Examples of a step.
        n_items: Items of the softmax.
        events: Mean length of a history.
    """
    return steps * batch * (STEP * n_items + EVENT * events)


def factor_seconds(positives: int, rows: int, dim: int, iterations: int) -> float:
    """Cost of the factorisation of so many positives in so many rows and columns."""
    return FACTOR * iterations * dim * (positives + rows * dim / 10)


def regression_seconds(items: int, features: int) -> float:
    """Cost of the extension to new items."""
    return REGRESS * items * float(features) ** 2


@dataclass
class Budget:
    """Seconds that may be spent.

    Attributes:
        limit: In CPU seconds.
        spent: Estimated.
        skipped: What was not allowed, with its estimate.
    """

    limit: float
    spent: float = 0.0
    skipped: list[str] = field(default_factory=list)

    def allows(self, what: str, seconds: float) -> bool:
        """Take the seconds if they are left; else note what is skipped."""
        if self.spent + seconds > self.limit:
            self.skipped.append(
                f"{what}: about {seconds:.0f} s, {max(self.limit - self.spent, 0):.0f} s were left"
            )
            return False
        self.spent += seconds
        return True
