"""The vectors of the modalities inside an artifact folder: one Parquet file each.

``vectors.<name>.parquet`` has the columns of ``columns.VECTORS``. The folders of ingest, validate
and features hold one for each modality; without modalities there is none.
"""

import shutil
from pathlib import Path

import polars as pl

from counterpoint import columns

PREFIX = "vectors."


def table(name: str) -> str:
    """Name of a modality's table in verdicts and among rejected rows."""
    return f"{PREFIX}{name}"


def path(folder: Path, name: str) -> Path:
    """File of a modality."""
    return folder / f"{table(name)}.parquet"


def named(folder: Path) -> dict[str, Path]:
    """Return modality -> file of a folder, sorted by name."""
    files = sorted(folder.glob(f"{PREFIX}*.parquet"))
    return {file.stem.removeprefix(PREFIX): file for file in files}


def clear(folder: Path) -> None:
    """Remove the files that an earlier run with other modalities left."""
    for file in named(folder).values():
        file.unlink()


def copy(source: Path, target: Path) -> None:
    """Copy the files of all modalities."""
    for file in named(source).values():
        shutil.copyfile(file, target / file.name)


def read(folder: Path) -> dict[str, pl.DataFrame]:
    """Return modality -> ``columns.VECTORS`` of a folder."""
    return {
        name: pl.read_parquet(file).select(
            pl.col(column).cast(dtype) for column, dtype in columns.VECTORS.items()
        )
        for name, file in named(folder).items()
    }
