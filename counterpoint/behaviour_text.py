"""A user's history as text for a language model: attributes first, then events, oldest first.

    User: age: 25-34. gender: F.
    Liked: Heat. genre: Crime, Drama.
    Not liked: Casper. genre: Comedy.

One line an event, so a text can cover several and a reader can find them again. Standard library
only: serving renders a history as training did.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Final

from counterpoint.item_text import describe_attributes

BEHAVIOUR_VERSION: Final = 1
"""Raised whenever the rendering changes: a model must read what it was trained on."""

MAX_CHARACTERS: Final = 160
"""Of one item: a long description must not push the rest of the history out."""

END: Final = ".\n"
"""After every line; tokenizers that drop line breaks still see the full stop."""

RAW_FACTOR: Final = 20
"""Only this many times ``max_characters`` are read of a text, whatever mark-up it has."""


@dataclass(frozen=True)
class Line:
    """One line of a rendered history.

    Attributes:
        lead: What it is: ``User``, ``Liked``, ``Not liked``, ``Seen``.
        text: The item's text, or the user's attributes.
        event: Place of the event in the history; None for the attributes.
    """

    lead: str
    text: str
    event: int | None

    def __str__(self) -> str:
        return f"{self.lead}: {self.text}{END}"


def lines(
    texts: Sequence[str],
    liked: Sequence[bool | None] | None = None,
    attributes: Iterable[str] = (),
    *,
    ratings: Sequence[float | None] | None = None,
    max_characters: int = MAX_CHARACTERS,
) -> list[Line]:
    """Return the attributes' line, if there are any, and one line for each event with a text.

    Args:
        texts: (E,) item texts (item_text.py), oldest first; an empty one leaves no line.
        liked: (E,) whether the event is a positive one; None: unknown.
        attributes: ``name=value`` tokens of the user.
        ratings: (E,) what the user gave, where known.
        max_characters: Longer texts are cut at a word.

    Raises:
        ValueError: ``liked`` or ``ratings`` has another length than ``texts``.
    """
    for name, given in (("liked", liked), ("ratings", ratings)):
        if given is not None and len(given) != len(texts):
            raise ValueError(f"{len(given)} {name} for {len(texts)} texts; give one for each.")
    profile = plain(describe_attributes(attributes), max_characters)
    found = [Line("User", profile, None)] if profile else []
    for event, raw in enumerate(texts):
        text = plain(raw, max_characters)
        if text:
            said = lead(liked[event] if liked else None, ratings[event] if ratings else None)
            found.append(Line(said, text, event))
    return found


def lead(liked: bool | None, rating: float | None = None) -> str:
    """Return in words what a user made of an item.

    Example:
        >>> lead(True), lead(False, 2.0), lead(None)
        ('Liked', 'Not liked, rated 2', 'Seen')
    """
    word = "Seen" if liked is None else "Liked" if liked else "Not liked"
    return word if rating is None else f"{word}, rated {rating:g}"


def newest(found: Sequence[Line], costs: Sequence[int], budget: int) -> list[Line]:
    """Return what fits: the attributes' line and the newest events without a gap.

    The attributes are left out if they alone take more than half.

    Args:
        found: Of ``lines``.
        costs: (L,) tokens of each line.
        budget: Sum of costs that is never exceeded.
    """
    start = len(found)
    first = 1 if found and found[0].event is None else 0
    head = list(found[:1]) if first and 2 * costs[0] <= budget else []
    left = budget - (costs[0] if head else 0)
    while start > first and costs[start - 1] <= left:
        start -= 1
        left -= costs[start]
    return [*head, *found[start:]]


def history_text(
    texts: Sequence[str],
    liked: Sequence[bool | None] | None = None,
    attributes: Iterable[str] = (),
    *,
    count: Callable[[str], int],
    max_tokens: int,
    ratings: Sequence[float | None] | None = None,
    max_characters: int = MAX_CHARACTERS,
) -> str:
    r"""Return a history as one text within a budget of tokens; empty if there is nothing to say.

    Args:
        texts: (E,) item texts, oldest first.
        liked: (E,) whether the event is a positive one; None: unknown.
        attributes: ``name=value`` tokens of the user.
        count: Number of tokens of a text, without special tokens.
        max_tokens: Budget; the oldest events are left out first.
        ratings: (E,) what the user gave, where known.
        max_characters: Longer texts are cut at a word.

    Example:
        >>> history_text(["Heat", "Casper"], [True, False], ["age=25-34"],
        ...              count=lambda text: len(text.split()), max_tokens=6)
        'User: age: 25-34.\nNot liked: Casper.\n'
    """
    found = lines(texts, liked, attributes, ratings=ratings, max_characters=max_characters)
    kept = newest(found, [count(str(line)) for line in found], max_tokens)
    return "".join(map(str, kept))


def plain(text: str | None, max_characters: int = MAX_CHARACTERS) -> str:
    """Return a text without mark-up, control characters and line breaks, cut at a word.

    Example:
        >>> plain("<p>Tom &amp; Jerry<br>I &lt;3 them</p>")
        'Tom & Jerry I <3 them'
    """
    found = (text or "")[: RAW_FACTOR * max_characters]
    if "<" in found or "&" in found:
        parser = _Words()
        parser.feed(found)
        parser.close()
        found = "".join(parser.found)
    # Lone surrogates have no UTF-8 form; tokenizers refuse them.
    found = found.encode("utf-8", "ignore").decode("utf-8")
    visible = "".join(sign if sign.isprintable() or sign in JOINERS else " " for sign in found)
    found = " ".join(visible.split())
    if len(found) > max_characters:
        cut = found[: max_characters + 1]
        # Scripts without spaces, and words longer than half of it, are cut anywhere.
        space = cut.rfind(" ", max_characters // 2)
        found = cut[: space if space > 0 else max_characters]
    return found.strip(" .")


JOINERS: Final = "\u200c\u200d"
"""Invisible, but emoji and some scripts are spelt with them."""


class _Words(HTMLParser):
    """Collects the text between tags; tags part words, scripts and styles are no text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.hidden = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self.found.append(" ")
        if tag in {"script", "style"}:
            self.hidden = tag

    def handle_endtag(self, tag: str) -> None:
        self.found.append(" ")
        if tag == self.hidden:
            self.hidden = ""

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.found.append(data)
