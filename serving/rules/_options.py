"""Reading the options of a rule; every error begins with the field, such as ``rules.cap.most``."""

from collections.abc import Mapping, Sequence
from typing import Any

from serving.spec import InvalidInput

MAX_ENTRIES = 10_000
"""Longest list of one option."""


def shown(value: object) -> str:
    """Return a value for an error message, cut to a readable length."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def is_text(value: object) -> bool:
    """Whether a value is a string that has bytes: JSON can name half of a surrogate pair."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


class Options:
    """The options of one rule.

    Args:
        where: Field that holds them, ``rules.<name>``.
        values: What the request says.

    Raises:
        InvalidInput: They are no JSON object.
    """

    def __init__(self, where: str, values: object) -> None:
        if not isinstance(values, Mapping):
            raise InvalidInput(
                f"{where}: {shown(values)} is not an object of options; send for example "
                f'{{"{where.rpartition(".")[2]}": {{…}}}}, or null to leave the rule out.'
            )
        self.where = where
        self._values: Mapping[str, Any] = values
        self._read: set[str] = set()

    def number(self, name: str, default: float | None, *, low: float, high: float) -> float:
        """Return a number from ``low`` to ``high``; no default: needed.

        Raises:
            InvalidInput: It is missing, no number, or out of range.
        """
        value = self._get(name, default)
        allowed = f"allowed are numbers from {low:g} to {high:g}"
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidInput(f"{self.where}.{name}: {shown(value)} is no number; {allowed}.")
        if not low <= value <= high:
            raise InvalidInput(f"{self.where}.{name}: {shown(value)} is out of range; {allowed}.")
        return float(value)

    def whole(self, name: str, default: int | None, *, low: int, high: int) -> int:
        """Return a whole number from ``low`` to ``high``; no default: needed.

        Raises:
            InvalidInput: It is missing, no whole number, or out of range.
        """
        value = self._get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InvalidInput(
                f"{self.where}.{name}: {shown(value)} is not allowed; allowed are whole numbers "
                f"from {low} to {high}."
            )
        return value

    def text(self, name: str, default: str | None = None) -> str:
        """Return a string; no default: needed.

        Raises:
            InvalidInput: It is missing, empty or no string.
        """
        value = self._get(name, default)
        if not value or not is_text(value):
            raise InvalidInput(f"{self.where}.{name}: {shown(value)} is not a text.")
        return value

    def choice(self, name: str, allowed: Sequence[str], default: str | None = None) -> str:
        """Return one of a few strings; no default: needed.

        Raises:
            InvalidInput: It is another one.
        """
        value = self._get(name, default)
        if value not in allowed:
            raise InvalidInput(
                f"{self.where}.{name}: {shown(value)} is not allowed; allowed are "
                f"{', '.join(allowed)}."
            )
        return str(value)

    def texts(self, name: str) -> list[str]:
        """Return a list of strings, empty where it is left out.

        Raises:
            InvalidInput: It is no list of strings, or too long.
        """
        value = self._get(name, [])
        if (
            not isinstance(value, list)
            or len(value) > MAX_ENTRIES
            or not all(is_text(entry) for entry in value)
        ):
            raise InvalidInput(
                f"{self.where}.{name}: {shown(value)} is not a list of at most {MAX_ENTRIES} texts."
            )
        return value

    def tokens(self, name: str) -> list[str]:
        """Return a list of ``name=value`` tokens, empty where it is left out.

        Raises:
            InvalidInput: One is not of this form.
        """
        return [self._token(name, value) for value in self.texts(name)]

    def weights(self, name: str, *, limit: float, tokens: bool = False) -> dict[str, float]:
        """Return an object of numbers from ``-limit`` to ``limit``, empty where it is left out.

        Args:
            name: The option.
            limit: Greatest absolute value.
            tokens: The keys are ``name=value`` tokens.

        Raises:
            InvalidInput: It is something else, or too long.
        """
        value = self._get(name, {})
        if not isinstance(value, dict) or len(value) > MAX_ENTRIES:
            raise InvalidInput(
                f"{self.where}.{name}: {shown(value)} is not an object of at most {MAX_ENTRIES} "
                f"numbers."
            )
        for key, number in value.items():
            if tokens:
                self._token(name, key)
            is_number = isinstance(number, int | float) and not isinstance(number, bool)
            if not is_text(key):
                raise InvalidInput(f"{self.where}.{name}: {shown(key)} is not a text.")
            if not is_number or not -limit <= number <= limit:
                raise InvalidInput(
                    f"{self.where}.{name}: {shown(number)} of {shown(key)} is not allowed; allowed "
                    f"are numbers from {-limit:g} to {limit:g}."
                )
        return {key: float(number) for key, number in value.items()}

    def has(self, name: str) -> bool:
        """Whether the request says something of the option."""
        return name in self._values

    def done(self) -> None:
        """Refuse what no reader asked for.

        Raises:
            InvalidInput: Names the unknown option and the known ones.
        """
        for name in self._values:
            if name not in self._read:
                raise InvalidInput(
                    f"{self.where}: {shown(name)} is no option; options are "
                    f"{', '.join(sorted(self._read))}."
                )

    def _get(self, name: str, default: object) -> Any:
        self._read.add(name)
        value = self._values.get(name, default)
        if value is None:
            raise InvalidInput(f"{self.where}.{name}: a value is needed.")
        return value

    def _token(self, name: str, token: str) -> str:
        key, equals, value = token.partition("=")
        if not (key and equals and value):
            raise InvalidInput(
                f"{self.where}.{name}: {shown(token)} is not of the form name=value, such as "
                f"genre=Drama."
            )
        return token
