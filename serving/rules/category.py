"""Only items with, or without, certain attributes."""

from dataclasses import dataclass

from serving.engine.catalogue import NEVER_CHANGES, Catalogue, Mask
from serving.rules._options import Options
from serving.rules._rule import Examples, Rule
from serving.spec import InvalidInput

ORDER = 20
EXAMPLES: Examples = (
    {"any": ["genre=Drama"]},
    {"none": ["genre=Drama", "genre=Horror"]},
    {"any": ["genre=Comedy", "genre=Drama"], "none": ["genre=Horror"]},
)


@dataclass(frozen=True)
class Category(Rule):
    """``any``: an item needs one of these tokens (if there are some); ``none``: it has none."""

    any: tuple[str, ...]
    none: tuple[str, ...]
    filters = True

    def allowed(self, catalogue: Catalogue, now: int) -> tuple[Mask | None, int]:
        """Return the items of the categories."""
        barred = catalogue.with_tokens(self.none)
        if not self.any:
            return ~barred, NEVER_CHANGES
        return catalogue.with_tokens(self.any) & ~barred, NEVER_CHANGES


def parse(options: Options) -> Rule:
    """Read ``any`` and ``none``: lists of attribute tokens."""
    wanted, barred = options.tokens("any"), options.tokens("none")
    options.done()
    if not wanted and not barred:
        raise InvalidInput(
            f'{options.where}: nothing is named; send for example {{"any": ["genre=Drama"]}}.'
        )
    return Category(tuple(wanted), tuple(barred))
