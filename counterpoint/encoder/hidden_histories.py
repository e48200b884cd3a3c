"""What masked training reads: histories of the train fold, who is kept out, what is hidden."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from transformers import PreTrainedTokenizerBase

from counterpoint import columns, splits, tables
from counterpoint.config.encoder import EncoderConfig
from counterpoint.config.pretrain import PretrainConfig
from counterpoint.encoder import behaviour_tokens, masking
from counterpoint.encoder.behaviour_tokens import Behaviour
from counterpoint.encoder.masking import Task
from counterpoint.encoder.tokens import Rows
from counterpoint.errors import DataError
from counterpoint.histories import from_events
from counterpoint.text import item_texts


def gather(
    interactions: pl.DataFrame,
    items: pl.DataFrame,
    users: pl.DataFrame,
    tokenizer: PreTrainedTokenizerBase,
    config: EncoderConfig,
    options: PretrainConfig,
) -> Behaviour:
    """Return the histories of the train fold as token ids.

    Args:
        interactions: Ordered interactions with ``fold``.
        items: Canonical items; of rows with one id the first counts.
        users: Canonical users; may be empty.
        tokenizer: Of the backbone, without a prompt.
        config: Prompt and length of item texts.
        options: Length of histories.
    """
    events = splits.fit_events(interactions, "choose")
    rows = tables.conform(items, columns.ITEMS, table="items").unique(
        columns.ITEM, keep="first", maintain_order=True
    )
    index = {item: place for place, item in enumerate(rows[columns.ITEM])}
    attributes: dict[str, Sequence[str]] = {
        row[columns.USER]: list(row[columns.ATTRIBUTES] or ())
        for row in users.iter_rows(named=True)
    }
    histories = from_events(
        events,
        index,
        user_ids=events[columns.USER].unique().sort().to_list(),
        attributes=attributes,
    )
    return behaviour_tokens.build(
        histories,
        item_texts(rows),
        tokenizer,
        prompt=config.prompt,
        item_tokens=config.max_tokens,
        line_tokens=max(8, options.max_tokens // 4),
    )


@dataclass(frozen=True)
class Hiding:
    """How a backbone is asked.

    Attributes:
        decoder: It sees the past only.
        mask: Id of [MASK]; unused for decoders.
        ordinary: Ids of the tokens that are not special.
        pad: Id of the padding token.
        config: Shares and length.
    """

    decoder: bool
    mask: int
    ordinary: Rows
    pad: int
    config: PretrainConfig

    @classmethod
    def of(
        cls, tokenizer: PreTrainedTokenizerBase, config: PretrainConfig, *, decoder: bool
    ) -> "Hiding":
        """Return how a backbone with this tokenizer is asked."""
        special = set(tokenizer.all_special_ids)
        ordinary = sorted(set(tokenizer.get_vocab().values()) - special)
        return cls(
            decoder,
            -1 if decoder else int(tokenizer.mask_token_id or 0),
            np.array(ordinary, dtype=np.int64),
            int(tokenizer.pad_token_id or 0),
            config,
        )

    def task(self, behaviour: Behaviour, user: int, end: int, rng: np.random.Generator) -> Task:
        """Return one history with its hidden parts."""
        window = behaviour.window(user, end, self.config.max_tokens)
        if self.decoder:
            return masking.foresee(window, rng, self.config)
        return masking.hide(window, rng, self.config, mask=self.mask, ordinary=self.ordinary)


@dataclass(frozen=True)
class Divided:
    """Users to learn from and users to measure on.

    Attributes:
        events: (E,) places of the events of the former.
        owners: (E,) their users.
        withheld: Users of the latter.
        shares: (V,) share of each text among ``events``.
    """

    events: Rows
    owners: Rows
    withheld: Rows
    shares: npt.NDArray[np.float64]


def divide(behaviour: Behaviour, config: PretrainConfig, *, seed: int) -> Divided:
    """Keep some users out; one at least is learnt from.

    Raises:
        DataError: There is nothing to learn from, or the items cannot be told apart.
    """
    active = np.flatnonzero(np.diff(behaviour.indptr) > 0)
    if not len(active):
        raise DataError(
            f"train.encoder.pretrain needs histories as text, but none of the {len(behaviour)} "
            "users has an event in the train fold on an item with a title, attributes or a "
            "description. Map these columns, or set train.encoder.pretrain to null."
        )
    distinct = len(np.unique(behaviour.text))
    if config.masked_item and distinct < 2:
        raise DataError(
            f"The {len(behaviour.text)} events of the train fold are all on items with one and "
            "the same text, so masked items cannot be told apart. Map a title or description "
            "column, or set train.encoder.pretrain.masked_item to 0 (or pretrain to null)."
        )
    count = min(round(config.withheld * len(active)), len(active) - 1)
    withheld = np.sort(np.random.default_rng(seed).permutation(active)[:count])
    owners = behaviour.owners
    events = np.flatnonzero(~np.isin(owners, withheld))
    counts = np.bincount(behaviour.text[events], minlength=len(behaviour.items))
    return Divided(events, owners[events], withheld, counts / counts.sum())
