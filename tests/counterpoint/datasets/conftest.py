from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from counterpoint import datasets
from counterpoint.datasets import Source

Reader = Callable[..., Source]


@pytest.fixture
def read(tmp_path: Path) -> Iterator[Reader]:
    """Reads ``tables`` with options; the files lie in ``tmp_path``."""
    calls = 0

    def reader(**options: Any) -> Source:
        nonlocal calls
        calls += 1
        staging = tmp_path / f".staging{calls}"
        return datasets.read(
            "tables", {"folder": str(tmp_path), **options}, cache=tmp_path, staging=staging
        )

    yield reader
