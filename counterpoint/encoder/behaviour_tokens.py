"""Histories as token ids: every different line is tokenised once, windows are put together."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from counterpoint import behaviour_text
from counterpoint.behaviour_text import Line
from counterpoint.encoder.tokens import Rows, TokenTable, tokenise
from counterpoint.histories import Histories
from counterpoint.item_text import describe_attributes

NONE = -1


@dataclass(frozen=True)
class LineTokens:
    """One line.

    Attributes:
        ids: (T,) token ids, without special tokens.
        words: (T,) number of the word each token is part of.
        of_item: (T,) bool, whether it is part of the item's text.
    """

    ids: npt.NDArray[np.int64]
    words: npt.NDArray[np.int64]
    of_item: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Window:
    """A stretch of a history as the model reads it.

    Attributes:
        ids: (T,) token ids with the special tokens around them.
        words: (T,) number of the word within the window; -1: a special token.
        events: (T,) number of the event whose item's text the token is part of, counted from the
            oldest in the window; -1: none.
        texts: (n,) text of each of the events.
        profile: Whether it begins with the user's attributes.
    """

    ids: npt.NDArray[np.int64]
    words: npt.NDArray[np.int64]
    events: npt.NDArray[np.int64]
    texts: npt.NDArray[np.int64]
    profile: bool


@dataclass(frozen=True)
class Behaviour:
    """Histories of U users whose events are lines; events without a text are left out.

    Attributes:
        lines: L different lines.
        indptr: (U + 1,) where each user's events start.
        line: (E,) line of each event, oldest first.
        text: (E,) text of each event: items with equal text are one to a language model.
        profile: (U,) line of the user's attributes; -1: none.
        items: The V different texts of items with an event, as the tower reads them. Of others
            nothing is known: as negatives they would be taught to be liked by nobody.
        before: Special tokens before a text.
        after: Special tokens after it.
    """

    lines: Sequence[LineTokens]
    indptr: npt.NDArray[np.int64]
    line: npt.NDArray[np.int64]
    text: npt.NDArray[np.int64]
    profile: npt.NDArray[np.int64]
    items: TokenTable
    before: npt.NDArray[np.int64]
    after: npt.NDArray[np.int64]
    _costs: npt.NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        costs = np.array([len(line.ids) for line in self.lines], dtype=np.int64)
        object.__setattr__(self, "_costs", costs)

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def owners(self) -> Rows:
        """(E,) user of each event."""
        return np.repeat(np.arange(len(self)), np.diff(self.indptr))

    def window(self, user: int, end: int, max_tokens: int) -> Window:
        """Return the newest events of a user before a place, as many as fit.

        Args:
            user: Index.
            end: Place in ``line`` behind the newest event.
            max_tokens: Special tokens included.
        """
        budget = max_tokens - len(self.before) - len(self.after)
        # Every line has a token at least, so no earlier event can fit.
        first = max(int(self.indptr[user]), end - max(budget, 0))
        profile = int(self.profile[user])
        head, start = behaviour_text.fitting(
            self._costs[self.line[first:end]].tolist(),
            budget,
            profile=0 if profile == NONE else int(self._costs[profile]),
        )
        events = np.arange(first + start, end)
        chosen = [*([profile] if head else []), *self.line[events].tolist()]
        return self._join([self.lines[line] for line in chosen], self.text[events], head)

    def _join(self, chosen: list[LineTokens], texts: npt.NDArray[np.int64], head: bool) -> Window:
        ids, words, events, word = [self.before], [], [], 0
        for place, line in enumerate(chosen):
            ids.append(line.ids)
            words.append(line.words + word)
            word += int(line.words[-1]) + 1
            events.append(np.where(line.of_item, place - head, NONE))
        ids.append(self.after)
        around = [np.full(len(part), NONE) for part in (self.before, self.after)]
        return Window(
            np.concatenate(ids),
            np.concatenate([around[0], *words, around[1]]),
            np.concatenate([around[0], *events, around[1]]),
            texts,
            head,
        )

    def token_counts(self, vocabulary: int) -> npt.NDArray[np.int64]:
        """Return (vocabulary,) how often each token occurs in the events."""
        uses = np.bincount(self.line, minlength=len(self.lines))
        counts = np.zeros(vocabulary, dtype=np.int64)
        for line, count in zip(self.lines, uses.tolist(), strict=True):
            np.add.at(counts, line.ids, count)
        return counts

    def digest(self) -> str:
        """SHA-256 of everything that training sees of it."""
        digest = hashlib.sha256()
        parts = [part for line in self.lines for part in (line.ids, line.words, line.of_item)]
        own = (self.indptr, self.line, self.text, self.profile, self.before, self.after)
        for array in (*parts, *own, self.items.ids, self.items.indptr):
            digest.update(f"{array.shape}".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()


def build(
    histories: Histories,
    texts: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    *,
    prompt: str,
    item_tokens: int,
    line_tokens: int,
) -> Behaviour:
    """Tokenise histories.

    Args:
        histories: Of the users.
        texts: N item texts; empty where nothing is known.
        tokenizer: Of the backbone, without a prompt.
        prompt: Put before item texts where the tower reads them alone.
        item_tokens: Where such a text is cut off.
        line_tokens: Where a line is cut off: some scripts need several tokens for a character.
    """
    shown = [behaviour_text.plain(text) for text in texts]
    has_text = np.array([bool(text) for text in shown], dtype=bool)
    kept = has_text[histories.items] if len(texts) else np.zeros(0, dtype=bool)
    items, liked = histories.items[kept], histories.positive[kept]
    lengths = np.bincount(histories.owners[kept], minlength=len(histories))
    met = np.unique(items).tolist()
    distinct = {text: row for row, text in enumerate(dict.fromkeys(texts[item] for item in met))}
    text_of = np.full(len(texts), NONE)
    text_of[met] = [distinct[texts[item]] for item in met]

    lines: dict[Line, int] = {}
    line = np.empty(len(items), dtype=np.int64)
    for place, (item, like) in enumerate(zip(items.tolist(), liked.tolist(), strict=True)):
        said = Line(behaviour_text.lead(like), shown[item], 0)
        line[place] = lines.setdefault(said, len(lines))
    profile = np.full(len(histories), NONE)
    for user, tokens in enumerate(histories.attributes):
        about = behaviour_text.plain(describe_attributes(tokens))
        if about:
            profile[user] = lines.setdefault(Line("User", about, None), len(lines))
    before, after = _special(tokenizer)
    return Behaviour(
        _tokens(list(lines), tokenizer, line_tokens),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        line,
        text_of[items],
        profile,
        tokenise([prompt + text for text in distinct], tokenizer, max_tokens=item_tokens),
        before,
        after,
    )


def _tokens(lines: list[Line], tokenizer: PreTrainedTokenizerBase, most: int) -> list[LineTokens]:
    if not lines:
        return []
    # A title such as "[MASK]" must stay a title.
    found: Any = tokenizer(
        [str(line) for line in lines],
        add_special_tokens=False,
        split_special_tokens=True,
        return_offsets_mapping=True,
        truncation=False,
        padding=False,
    )
    out = []
    for row, line in enumerate(lines):
        spans = np.array(found["offset_mapping"][row], dtype=np.int64).reshape(-1, 2)
        start = len(line.lead) + 2
        inside = (spans[:, 1] > start) & (spans[:, 0] < start + len(line.text))
        numbers = [NONE if word is None else word for word in found.word_ids(row)]
        words = np.cumsum(np.diff(numbers, prepend=-2) != 0) - 1
        ids = np.array(found["input_ids"][row], dtype=np.int64)
        of_item = inside if line.event is not None else np.zeros_like(inside)
        out.append(LineTokens(ids[:most], words[:most], of_item[:most]))
    return out


def _special(tokenizer: PreTrainedTokenizerBase) -> tuple[Rows, Rows]:
    """Return what the tokenizer puts before and after a text."""
    found: Any = tokenizer("a", return_special_tokens_mask=True, padding=False)
    ids = np.array(found["input_ids"], dtype=np.int64)
    own = np.flatnonzero(np.array(found["special_tokens_mask"]) == 0)
    return ids[: own[0]], ids[own[-1] + 1 :]
