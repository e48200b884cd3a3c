"""Bars items outside their ``available_from`` to ``available_until``; on by default."""

from dataclasses import dataclass
from datetime import datetime

from serving.engine.catalogue import NEVER_CHANGES, Catalogue, Mask
from serving.rules._options import Options, shown
from serving.rules._rule import Examples, Rule
from serving.spec import InvalidInput

ORDER = 10
EXAMPLES: Examples = ({}, {"at": "now"}, {"at": "2026-02-03T12:00:00+01:00"})


@dataclass(frozen=True)
class Availability(Rule):
    """``at``: the moment that counts, microseconds since 1970; none: that of the request."""

    at: int | None
    filters = True

    def allowed(self, catalogue: Catalogue, now: int) -> tuple[Mask | None, int]:
        """Return what is available."""
        if self.at is None:
            return catalogue.available(now)
        mask, _ = catalogue.available(self.at)
        return mask, NEVER_CHANGES


def parse(options: Options) -> Rule:
    """Read ``at``: an ISO time with its offset, or "now"."""
    text = options.text("at", "now")
    options.done()
    if text == "now":
        return Availability(None)
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError("it has no offset from UTC")
        return Availability(round(moment.timestamp() * 1_000_000))
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            f"{options.where}.at: {shown(text)} is not a time ({error}); send for example "
            f'2026-02-03T12:00:00Z, or "now".'
        ) from None
