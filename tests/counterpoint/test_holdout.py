import polars as pl

from counterpoint import columns, holdout, splits
from tests.counterpoint import toys


def test_nothing_held_out_is_in_an_example_to_choose_by() -> None:
    folded, drawn = toys.prepared(toys.world())
    larger = holdout.per_user(folded)
    assert larger is not None and set(larger[columns.FOLD]) == {splits.TRAIN, "valid_target"}
    test = folded.filter(pl.col(columns.FOLD).str.starts_with("test"))[columns.ROW]
    assert not larger[columns.ROW].is_in(test.implode()).any()

    kept = holdout.examples_before(drawn, larger)
    assert len(kept) and set(kept[columns.FIT]) == {"choose"} and kept.columns == drawn.columns
    held = larger.filter(pl.col(columns.FOLD) != splits.TRAIN)
    pairs = set(zip(held[columns.USER], held[columns.ITEM], strict=True))
    for row in kept.iter_rows(named=True):
        seen = row[columns.HISTORY] + row[columns.TARGETS]
        assert not {(row[columns.USER], item) for item in seen} & pairs


def test_users_of_one_event_hold_nothing_out() -> None:
    folded, _ = toys.prepared(toys.world())
    single = folded.filter(pl.col(columns.FOLD) == splits.TRAIN).unique(
        columns.USER, keep="first", maintain_order=True
    )
    assert holdout.per_user(single) is None
