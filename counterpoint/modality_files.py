"""Vectors of items in the user's files: Parquet with a column of lists, or a folder of .npy files.

Nothing in them is ever unpickled. What cannot be read as a row of numbers is kept with the reason;
whether the numbers make sense is for the stage ``validate`` to say (expectations/vectors.py).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from counterpoint import columns, vector_tables
from counterpoint.config.ingest import ModalityConfig
from counterpoint.datasets import _columns, _files
from counterpoint.datasets._convert import Reader
from counterpoint.datasets._source import REJECTED
from counterpoint.errors import DataError
from counterpoint.progress import track

MAX_FILE_BYTES = 1 << 20
"""A larger .npy file is not the vector of one item."""

WRITTEN_AT_ONCE = 1024
NPY, PARQUET = ".npy", ".parquet"


@dataclass(frozen=True)
class Vectors:
    """The vectors of one modality as they were read.

    Attributes:
        rows: ``columns.VECTORS``, lazy; a null vector: the item has none.
        rejected: ``REJECTED``, lazy.
        notes: What was found where, as sentences.
    """

    rows: pl.LazyFrame
    rejected: pl.LazyFrame = field(default_factory=lambda: REJECTED.to_frame().lazy())
    notes: list[str] = field(default_factory=list)


class UnreadableVector(ValueError):
    """A file holds no vector; the message says why."""


def scan(name: str, config: ModalityConfig, *, staging: Path) -> Vectors:
    """Open the vectors of one modality.

    Args:
        name: Of the modality.
        config: Where they are.
        staging: Folder for intermediate files; must outlive the returned tables.

    Raises:
        DataError: There is no such file, or none of its columns holds vectors.
    """
    path = Path(config.path).expanduser()
    staging.mkdir(parents=True, exist_ok=True)
    if not path.is_dir():
        return _from_parquet(name, config, [str(path)], staging)
    inside = sorted(path.iterdir())
    single = [file for file in inside if file.suffix == NPY]
    parts = [file for file in inside if file.suffix == PARQUET]
    if bool(single) == bool(parts):
        held = "both" if single else "neither"
        raise DataError(
            f"ingest.modalities.{name}: {path} must hold <item_id>{NPY} files or {PARQUET} files; "
            f"it has {held}. Correct `path`."
        )
    if parts:
        return _from_parquet(name, config, [str(file) for file in parts], staging)
    if given := [option for option in ("item_id", "column") if getattr(config, option)]:
        raise DataError(
            f"ingest.modalities.{name}: {' and '.join(given)} names a column, but {path} is a "
            f"folder of {NPY} files, whose names are the ids. Leave it out."
        )
    vectors = _from_folder(name, single, staging)
    if passed := len(inside) - len(single):
        vectors.notes.append(f"{name}: {passed} files of {path} that are no {NPY} are passed over.")
    return vectors


def _from_parquet(
    name: str, config: ModalityConfig, paths: Sequence[str], staging: Path
) -> Vectors:
    file = _files.FileConfig(path=tuple(paths), format="parquet")
    try:
        raw = _files.scan(file, folder=Path("."), staging=staging)
    except DataError as error:
        raise DataError(f"ingest.modalities.{name}: {error}") from error
    reader = Reader(raw, file.null_values)
    key = config.item_id or _columns.find(
        _columns.COMMON["items"][columns.ITEM], [c for c in raw.columns if c != config.column]
    )
    if key is None:
        raise DataError(
            f"ingest.modalities.{name}: no column of {raw.label} is named like an item id; it has "
            f"{', '.join(raw.columns)}. Set `item_id`."
        )
    for column in (key, config.column):
        if column and column not in raw.columns:
            told = _columns.absent(column, label=raw.label, among=raw.columns)
            raise DataError(f"ingest.modalities.{name}: {told}")
    listed = [c for c, kind in reader.schema.items() if _holds_vectors(kind)]
    column = config.column or (listed[0] if len(listed) == 1 else None)
    if column is None or column not in listed:
        asked = f"column {column!r} is {reader.schema[column]}" if column else (
            f"{len(listed)} columns hold lists of numbers"
        )  # fmt: skip
        raise DataError(
            f"ingest.modalities.{name}: {asked} in {raw.label}. A vector is a list, or a list of "
            f"fixed size, of numbers; such columns are: {', '.join(listed) or 'none'}. Set "
            "`column`."
        )
    vector = pl.col(column).cast(pl.List(pl.Float32), strict=False)
    rows = raw.rows.select(reader.identifier(key).alias(columns.ITEM), vector.alias(columns.VECTOR))
    return Vectors(rows, notes=[f"{name} from {raw.label}: item_id = {key}, vector = {column}."])


def _holds_vectors(kind: pl.DataType) -> bool:
    return isinstance(kind, pl.List | pl.Array) and kind.inner.is_numeric()


def _from_folder(name: str, files: Sequence[Path], staging: Path) -> Vectors:
    """Gather the files in one Parquet file, a bounded number of vectors in memory at a time."""
    gathered = staging / f"{name}.parquet"
    rejected: list[tuple[str, str, str]] = []
    schema = columns.VECTORS.to_frame().to_arrow(compat_level=pl.CompatLevel.oldest()).schema
    with pq.ParquetWriter(gathered, schema) as writer:
        for ids, vectors in _chunks(name, files, rejected):
            table = pa.table({columns.ITEM: ids, columns.VECTOR: vectors}, schema=schema)
            writer.write_table(table)
    return Vectors(
        pl.scan_parquet(gathered),
        pl.LazyFrame(rejected, schema=REJECTED, orient="row"),
        [f"{name} from {len(files)} {NPY} files of {files[0].parent}."],
    )


def _chunks(
    name: str, files: Sequence[Path], rejected: list[tuple[str, str, str]]
) -> Iterator[tuple[list[str], list[npt.NDArray[np.float32]]]]:
    ids: list[str] = []
    vectors: list[npt.NDArray[np.float32]] = []
    for file in track(files, f"Read vectors: {name}"):
        shown = file.name.encode("utf-8", "replace").decode()
        try:
            if shown != file.name:
                raise UnreadableVector("its name is not UTF-8")
            vectors.append(load(file))
            ids.append(file.stem)
        except UnreadableVector as error:
            row = json.dumps({"file": shown}, ensure_ascii=False)
            rejected.append((vector_tables.table(name), row, str(error)))
        if len(ids) == WRITTEN_AT_ONCE:
            yield ids, vectors
            ids, vectors = [], []
    yield ids, vectors


def load(path: Path) -> npt.NDArray[np.float32]:
    """Read the vector of one item from a .npy file, which is never unpickled.

    Args:
        path: File of (D,) numbers; (1, D), as encoders often return it, is taken too.

    Returns:
        (D,) float32; a number too large for it is infinite.

    Raises:
        UnreadableVector: The file holds something else.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise UnreadableVector(
                f"more than {MAX_FILE_BYTES} bytes are not the vector of an item"
            )
        found = np.load(path, allow_pickle=False)
    except UnreadableVector:
        raise
    except (OSError, ValueError, EOFError, MemoryError) as error:
        if "pickle" in str(error):
            raise UnreadableVector(
                "holds pickled Python objects, which are never loaded; save it as "
                "numpy.save(path, numpy.asarray(vector, dtype='float32'))"
            ) from None
        said = " ".join(str(error).replace(str(path), path.name).replace("'", '"').split())
        raise UnreadableVector(f"is no readable .npy file: '{said}'") from None
    if not isinstance(found, np.ndarray):
        found.close()
        raise UnreadableVector("is an .npz archive; one array of numbers is needed")
    if found.dtype.kind not in "fiu":
        raise UnreadableVector(f"holds '{found.dtype}', not numbers")
    if not found.ndim or found.size != found.shape[-1]:
        raise UnreadableVector(f"has the shape '{found.shape}'; one row of numbers is needed")
    with np.errstate(over="ignore"):
        return found.reshape(-1).astype(np.float32)
