from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from counterpoint import columns, training
from counterpoint.recommender import Recommender
from counterpoint.text_terms import MAX_TERMS, TextTerms, text_terms
from tests.counterpoint import toys

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "space", "farm", "story", "genre", "a"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"hidden_size": 16, "intermediate_size": 32, "max_position_embeddings": 64}
        shape = {"num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": len(WORDS)}
        BertModel(BertConfig(**sizes, **shape)).save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def fit(workdir: Path, **encoder: object) -> Recommender:
    tables = toys.world()
    folded, drawn = toys.prepared(tables)
    config = toys.small_config(encoder=encoder)
    return training.fit(folded, tables.items, tables.users, drawn, config, workdir=workdir)


@pytest.fixture(scope="module")
def reader(weights: Path, tmp_path_factory) -> Recommender:
    folder = tmp_path_factory.mktemp("reader")
    return fit(folder / "work", model=str(weights), cache=str(folder / "cache"))


@pytest.fixture(scope="module")
def without_text(tmp_path_factory) -> Recommender:
    return fit(tmp_path_factory.mktemp("plain"), model=None)


SPACE = toys.histories([(0, True), (2, True), (4, True)])


def by_term(found: TextTerms) -> dict[tuple[str, str], float]:
    return {(t.source, t.term): t.contribution for t in found.terms}


def test_the_terms_of_a_cold_item_are_those_its_score_came_from(reader) -> None:
    item = reader.item_index["i20"]
    found = text_terms(reader, SPACE, item)
    assert found.exact
    assert found.score == pytest.approx(float(reader.score(SPACE)[0, item]), abs=0.02)
    terms = by_term(found)
    assert set(terms) == {
        ("title", "space"),
        ("title", "story"),
        ("title", "20"),
        ("attribute", "genre=space"),
    }
    falls = [t.contribution for t in found.terms]
    assert falls == sorted(falls, reverse=True)
    assert terms["attribute", "genre=space"] > abs(terms["title", "20"])


def test_a_term_is_worth_what_the_item_loses_without_it(reader) -> None:
    """Against an item that really lacks the term, added by hand."""
    item = reader.item_index["i20"]
    lacking = pl.DataFrame(
        {
            columns.ITEM: ["with", "without"],
            columns.TITLE: ["space story 20", "story 20"],
            columns.ATTRIBUTES: [["genre=space"], ["genre=space"]],
        }
    )
    extended = reader.extend(lacking)
    scores = extended.score(SPACE)[0, -2:]
    terms = by_term(text_terms(reader, SPACE, item))
    assert terms["title", "space"] == pytest.approx(float(scores[0] - scores[1]), abs=1e-3)


def test_a_warm_item_is_read_as_if_it_were_new(reader) -> None:
    found = text_terms(reader, SPACE, reader.item_index["i6"])
    assert not found.exact and ("attribute", "genre=space") in by_term(found)


def test_nothing_is_added_to_the_cache_or_the_catalogue(reader) -> None:
    def cached() -> list[bytes]:
        return [p.read_bytes() for p in Path(reader.settings.encoder.cache).rglob("*.safetensors")]

    before, items = cached(), reader.item_ids
    assert before
    text_terms(reader, SPACE, reader.item_index["i20"])
    assert cached() == before and reader.item_ids == items


def test_without_text_the_attributes_remain(without_text) -> None:
    terms = by_term(text_terms(without_text, SPACE, without_text.item_index["i20"]))
    assert terms["attribute", "genre=space"] > 0.1
    assert terms["title", "space"] == pytest.approx(0, abs=1e-3)


def test_a_description_counts_where_it_is_given(reader) -> None:
    described = pl.DataFrame(
        {
            columns.ITEM: ["i20"],
            columns.TITLE: ["space"],
            columns.TEXT: ["a farm " * MAX_TERMS],
            columns.ATTRIBUTES: [["genre=space"]],
        }
    )
    found = text_terms(reader, SPACE, reader.item_index["i20"], described=described)
    assert len(found.terms) == MAX_TERMS
    assert {t.source for t in found.terms} == {"title", "attribute", "text"}


def test_ids_of_the_catalogue_are_never_taken_for_variants(without_text) -> None:
    odd = replace(
        without_text,
        items=without_text.items.with_columns(
            pl.when(pl.col(columns.ITEM) == "i3")
            .then(pl.lit("variant 1"))
            .otherwise(columns.ITEM)
            .alias(columns.ITEM)
        ),
    )
    item = without_text.item_index["i20"]
    expected = text_terms(without_text, SPACE, item)
    found = text_terms(odd, SPACE, item)
    np.testing.assert_allclose(found.score, expected.score, atol=1e-5)
    assert [t.term for t in found.terms] == [t.term for t in expected.terms]
