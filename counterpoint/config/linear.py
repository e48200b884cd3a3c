"""The linear part: a family of closed-form item-item models, and how histories weigh in it."""

from pydantic import Field

from counterpoint.config.base import Section


class LinearForm(Section):
    """One point of the family of linear.py. EASE: share 1, dropout 0, text_weight 0."""

    share: float = Field(default=1.0, ge=0, le=1)
    """Weight of what is liked together; the rest is the weight of what follows what (SLIST)."""

    span: float = Field(default=2.0, gt=0)
    """Decay length of what follows what, in positives."""

    l2: float = Field(default=200.0, gt=0)
    """Ridge of the closed form."""

    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share p of the history the denoising diagonal p / (1 - p) stands for (EDLAE)."""

    text_weight: float = Field(default=0.0, ge=0)
    """Weight of the text kernel in the Gram matrix (CEASE)."""


class Weighting(Section):
    """Weight ``base + recency * exp(-age / decay)`` of a positive in the history."""

    base: float = Field(default=1.0, ge=0)
    """Weight of any positive."""

    recency: float = Field(default=0.0, ge=0)
    """Additional weight of the newest."""

    decay: float = Field(default=5.0, gt=0)
    """Its decay length, in positives since."""


class LinearConfig(Section):
    """Closed-form candidates, chosen on validation."""

    forms: dict[str, LinearForm] = {
        "sequential": LinearForm(share=0.5, l2=50.0, dropout=0.2, text_weight=10.0),
        "cease": LinearForm(l2=200.0, dropout=0.33, text_weight=30.0),
        "slist": LinearForm(share=0.2, l2=50.0),
    }
    """Name -> model of the family (EASE, EDLAE, CEASE, SLIST and what lies between them)."""

    weightings: dict[str, Weighting] = {
        "recent": Weighting(recency=4.0, decay=5.0),
        "flat": Weighting(),
        "newest": Weighting(base=0.0, recency=1.0, decay=10.0),
    }
    """Name -> weight of the history; every form is tried with each."""

    l2_steps: tuple[float, ...] = (0.25, 4.0)
    """The ridge of each form is multiplied with the first of these again and again as long as that
    helps on validation, then with the second, as far as the budget goes."""

    max_items: int = Field(default=5_000, ge=1)
    """Only the most frequent items enter the dense solve; the others are left to the tower."""

    row_top: int = Field(default=0, ge=0)
    """Keep this many largest weights per row (0: all)."""
