"""The strict base of every configuration section."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen section that refuses unknown keys; ``2.0`` is accepted for an int (KFP sends floats)."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
