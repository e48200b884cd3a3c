"""A part of the serving benchmark: what it is given and what it returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from counterpoint.config import Config

Rows = Sequence[Sequence[object]]


@dataclass(frozen=True)
class Setting:
    """What all parts share.

    Attributes:
        config: The configuration.
        name: Name of the measured version.
        folder: Folder of the measured version.
        features: State folder of the feature store.
        scratch: Temporary folder of this part.
        size: Share of the full size, 1 for the figures of the page.
        seed: Of everything random.
        overrides: ``section.key=value`` of the command line, for the served programs.
    """

    config: Config
    name: str
    folder: Path
    features: Path
    scratch: Path
    size: float = 1.0
    seed: int = 0
    overrides: Sequence[str] = ()

    def count(self, full: int, *, least: int = 1) -> int:
        """Return the size of something that has ``full`` of it in a full run."""
        return max(least, round(full * self.size))


@dataclass(frozen=True)
class Demand:
    """A number that is asked for.

    Attributes:
        what: What is measured.
        demanded: The bound, in words.
        measured: What was seen, in words.
        met: Whether it is within the bound.
    """

    what: str
    demanded: str
    measured: str
    met: bool


@dataclass(frozen=True)
class Table:
    """A table of the page: the first column is text, the others are numbers."""

    heads: Sequence[str]
    rows: Rows


@dataclass(frozen=True)
class Result:
    """What a part found.

    Attributes:
        demands: The numbers that are asked for.
        text: How it was measured.
        tables: Everything else.
        facts: Further figures, for serving.json.
    """

    demands: Sequence[Demand]
    text: str
    tables: Sequence[Table] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


class Part(Protocol):
    """A module of ``benchmarks.serving.parts``."""

    TITLE: str
    ORDER: int

    def run(self, setting: Setting) -> Result:
        """Measure."""
        ...
