from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from counterpoint import artifacts, columns, tables
from counterpoint.datasets._source import REJECTED
from counterpoint.tables import Tables, conform

START = datetime(2024, 5, 1, tzinfo=UTC)


def clean(rows: int = 200) -> pl.DataFrame:
    """Interactions that break no rule."""
    return pl.DataFrame(
        {
            columns.ROW: list(range(rows)),
            columns.USER: [f"u{n % 20}" for n in range(rows)],
            columns.ITEM: [f"i{n % 7}" for n in range(rows)],
            columns.TIMESTAMP: [START + timedelta(seconds=97 * n) for n in range(rows)],
            columns.EVENT: ["rating"] * rows,
            columns.VALUE: [float(n % 5 + 1) for n in range(rows)],
            columns.POSITIVE: [n % 5 > 2 for n in range(rows)],
        },
        schema=columns.INTERACTIONS,
    )


Writer = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    """Writes a data set folder as ingest does."""

    def writer(
        interactions: pl.DataFrame,
        *,
        items: list[dict[str, Any]] | None = None,
        users: list[dict[str, Any]] | None = None,
        rejected: list[tuple[str, str, str]] | None = None,
    ) -> Path:
        folder = tmp_path / "data set"
        made = Tables(
            interactions,
            conform(pl.DataFrame(items or [], schema_overrides=columns.ITEMS), columns.ITEMS,
                    table="items"),
            conform(pl.DataFrame(users or [], schema_overrides=columns.USERS), columns.USERS,
                    table="users"),
        )  # fmt: skip
        tables.write(made, folder)
        pl.DataFrame(rejected or [], schema=REJECTED, orient="row").write_parquet(
            folder / artifacts.REJECTED
        )
        facts = {"name": "test", "has_timestamps": True, "rows": {}}
        tables.write_json(folder / artifacts.DATASET, facts)
        return folder

    return writer
