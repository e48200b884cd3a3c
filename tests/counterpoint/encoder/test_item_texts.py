from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterpoint.encoder.item_texts import ItemTexts
from counterpoint.encoder.ranks import Ranks

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), max_size=12)


@given(TEXTS)
def test_each_item_has_its_text(texts: list[str]) -> None:
    found = ItemTexts.of(texts)
    assert len(set(found.distinct)) == len(found.distinct) and "" not in found.distinct
    assert [found.distinct[row] if row >= 0 else "" for row in found.row] == texts


@pytest.mark.parametrize("texts", [["b", "", "a", "b", "ä🙂", "c\nd"], ["a"], []])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_each_process_reads_its_texts_and_together_all(
    tmp_path: Path, texts: list[str], world: int
) -> None:
    whole, path = ItemTexts.of(texts), tmp_path / "texts.parquet"
    whole.save(path)
    parts = [ItemTexts.read(path, whole.row, Ranks(rank, world)) for rank in range(world)]
    places = np.arange(len(whole.distinct))
    for rank, part in enumerate(parts):
        owned = Ranks(rank, world).owns(places)
        expected = [text if mine else "" for text, mine in zip(whole.distinct, owned, strict=True)]
        assert [*part.distinct] == expected and part.row is whole.row
