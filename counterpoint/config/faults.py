"""Pydantic's faults as sentences: what is wrong, what is allowed."""

from typing import Any, get_args

from pydantic import BaseModel, ValidationError


def explain(error: ValidationError, model: type[BaseModel], *, where: str = "") -> list[str]:
    """Return one sentence per fault, with the known names where a key is unknown.

    Args:
        error: What ``model.model_validate`` raised.
        model: The section that was validated.
        where: Dotted place of the section in the configuration, such as ``ingest.options``.
    """
    lines = []
    for fault in error.errors():
        path = ".".join([where, *map(str, fault["loc"])]).strip(".")
        if fault["type"] == "extra_forbidden":
            known = ", ".join(_section(model, fault["loc"][:-1]))
            lines.append(f"Unknown key {path!r}. Known here: {known}.")
        elif fault["type"] == "missing":
            lines.append(f"{path} is missing.")
        else:
            lines.append(f"{path} = {fault['input']!r}: {fault['msg']}.")
    return lines


def _section(model: Any, parts: tuple[int | str, ...]) -> dict[str, Any]:
    """Fields of the section at the end of a path; empty where it cannot be told."""
    for part in parts:
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            # An element of a mapping or list: its section is the last type argument.
            choices = [*get_args(model)][-1:]
        else:
            choices = [field.annotation, *get_args(field.annotation)]
        sections = [c for c in choices if hasattr(c, "model_fields")]
        model = sections[0] if sections else (choices[0] if choices else None)
    return getattr(model, "model_fields", {})
