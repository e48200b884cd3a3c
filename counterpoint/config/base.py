"""The strict base of every configuration section."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Frozen, refuses unknown keys; ``2.0`` is accepted for an int, since KFP sends floats."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
