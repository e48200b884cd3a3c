"""The texts of items, each different one once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from counterpoint.encoder.ranks import ALONE, Ranks
from counterpoint.encoder.tokens import Rows

TEXT: Final = "text"


@dataclass(frozen=True)
class ItemTexts:
    """Texts of N items.

    Attributes:
        row: (N,) place of each item's text among the different ones; -1: it has none.
        distinct: R different texts in order, empty where another process has it.
    """

    row: Rows
    distinct: Sequence[str]

    @classmethod
    def of(cls, texts: Sequence[str]) -> "ItemTexts":
        """Find the different texts of N items; an empty one is none."""
        distinct = sorted({text for text in texts if text})
        place = {text: row for row, text in enumerate(distinct)}
        return cls(np.array([place.get(text, -1) for text in texts], dtype=np.int64), distinct)

    def save(self, path: Path) -> None:
        """Write the different texts."""
        pl.DataFrame({TEXT: self.distinct}, schema={TEXT: pl.String}).write_parquet(path)

    @classmethod
    def read(cls, path: Path, row: Rows, group: Ranks = ALONE) -> "ItemTexts":
        """Read what ``save`` wrote, of the different texts those of this process only.

        Args:
            path: What was written.
            row: (N,) as above.
            group: The process.
        """
        stored = pl.scan_parquet(path)
        distinct = [""] * int(stored.select(pl.len()).collect().item())
        mine = stored.gather_every(group.world, group.rank).collect()[TEXT].to_list()
        distinct[group.rank :: group.world] = mine
        return cls(row, distinct)
