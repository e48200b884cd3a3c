import polars as pl

from counterpoint import columns
from counterpoint.stages.batch import liked


def test_the_median_rule_of_training_judges_a_history() -> None:
    history = pl.DataFrame(
        {
            columns.ROW: [0, 1, 2, 3],
            columns.USER: ["a", "a", "a", "b"],
            columns.TIMESTAMP: [1, 2, 3, 1],
            columns.VALUE: [4.0, 1.0, None, 1.0],
        }
    )
    judged = history.select(liked({"at_user_median": True}))[columns.POSITIVE]
    assert judged.to_list() == [True, False, True, True], "a row without a count is liked"
