"""The strict base of every configuration section."""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, model_validator

NULL: Final = "null"
"""How a null travels through a KFP parameter, which has no such value."""


class Section(BaseModel):
    """Frozen, refuses unknown keys; ``2.0`` is accepted for an int, since KFP sends floats."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _read_nulls(cls, value: Any) -> Any:
        return _with_nulls(value)


def _with_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_nulls(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_nulls(inner) for inner in value]
    return None if value == NULL else value
