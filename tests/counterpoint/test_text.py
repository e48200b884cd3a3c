import polars as pl

from counterpoint import columns
from counterpoint.text import item_texts, user_texts


def test_an_item_reads_as_title_attributes_description() -> None:
    items = pl.DataFrame(
        {
            columns.TITLE: ["Heat  (1995).", None, "Same", None],
            columns.ATTRIBUTES: [
                ["genre=Crime", "genre=Drama", "sub_genre=Heist"],
                ["x"],
                [],
                None,
            ],
            columns.TEXT: ["Two men.", "Only this", "Same", None],
        }
    )
    assert item_texts(items) == [
        "Heat (1995). genre: Crime, Drama. sub genre: Heist. Two men",
        "Only this",
        "Same",
        "",
    ]


def test_absent_columns_count_as_unknown() -> None:
    assert item_texts(pl.DataFrame({columns.ITEM: ["a"], columns.TITLE: ["T"]})) == ["T"]


def test_a_user_reads_as_attributes() -> None:
    users = pl.DataFrame({columns.ATTRIBUTES: [["age=25-34", "job=nurse"], None]})
    assert user_texts(users) == ["age: 25-34. job: nurse", ""]
