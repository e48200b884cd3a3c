"""Rules as command line arguments: ``--rule cap.attribute=genre --rule cap.most=2``."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
import yaml

from counterpoint.errors import ConfigError

RuleOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--rule",
        help="A rule, as name, name.option=value or name=null (leaves a default rule out); may be "
        "repeated. Rules: docs/serving.md.",
    ),
]


def parse(given: Sequence[str] | None) -> dict[str, Any]:
    """Return rule name -> options.

    Values are YAML, so that numbers, lists and quoted texts are possible; in a list without quotes
    ``genre=Drama`` is a text.

    Raises:
        ConfigError: Lists every argument that is not of the form.
    """
    rules: dict[str, Any] = {}
    faults: list[str] = []
    for argument in given or ():
        where, equals, text = argument.partition("=")
        name, dot, option = where.strip().partition(".")
        try:
            value = yaml.safe_load(text) if equals else None
        except yaml.YAMLError as error:
            faults.append(f"--rule {argument!r}: {text!r} cannot be read ({error}).")
            continue
        if name and dot and option and equals and isinstance(rules.get(name, {}), dict):
            rules.setdefault(name, {})[option] = value
        elif name and not dot and not equals:
            rules.setdefault(name, {})
        elif name and not dot and value is None:
            rules[name] = None
        else:
            faults.append(
                f"--rule {argument!r} must look like cap.most=2 (an option), explore (a rule with "
                f"its defaults) or availability=null (no such rule)."
            )
    if faults:
        raise ConfigError(faults)
    return rules
