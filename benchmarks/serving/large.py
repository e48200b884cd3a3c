"""Measure large catalogues: ``python -m benchmarks.serving.large [--items 100000 1000000]``.

Top 100 of synthetic vectors (128 dimensions, one question at a time) by scoring every item and by
indexes, and the whole graph `recommender` without and with an index. Prints a table and writes
``benchmarks/serving/results/large.md``. One million items need 8 GB and about ten minutes.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import faiss
import numpy as np
import numpy.typing as npt

from benchmarks.serving.large_data import DIM, Vectors, model, users, vectors
from counterpoint.config import ExportConfig
from counterpoint.large_export import check_recall, export_large
from counterpoint.onnx_graphs import export_recommender
from counterpoint.onnx_parity import session
from counterpoint.retrieval import FOLDER, Retrieval
from counterpoint.retrieval_index import TRAINED_ON, factory

K = 100
WARM_UP = 20
CELLS = 1024
SLOW_BUILD = 200_000
"""Above, graphs of neighbours and cells are left out: on one core they take long to build."""

Search = Callable[[int], object]


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    items: int
    data: str
    what: str
    spent: "Spent"
    recall: float | None
    mb: float
    seconds: float

    def text(self) -> str:
        """Return the line."""
        recall = "" if self.recall is None else f"{self.recall:.4f}"
        spent = self.spent
        return (
            f"| {self.items:,} | {self.data} | {self.what} | {spent.p50:.2f} | {spent.p99:.2f} "
            f"| {spent.cpu:.2f} | {recall} | {self.mb:.0f} | {self.seconds:.0f} |"
        )


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.large", description=__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--only", choices=("index", "model"), help="one half of the table")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    faiss.omp_set_num_threads(1)
    lines = []
    for items in given.items:
        halves: list[Iterator[Row]] = []
        if given.only != "model":
            halves += [indexes(items, kind, given.questions) for kind in ("random", "clustered")]
        if given.only != "index":
            halves += [models(items, how, given.questions) for how in ("top", "all")]
        for half in halves:
            for row in half:
                lines.append(row.text())
                print(lines[-1], flush=True)
    page = markdown(lines, given.items)
    given.results.mkdir(parents=True, exist_ok=True)
    (given.results / "large.md").write_text(page, "utf-8")
    return 0


@dataclass(frozen=True)
class Spent:
    """Time of a question in ms: wall clock, and the median of what this process computed."""

    p50: float
    p99: float
    cpu: float


def timed(ask: Search, questions: int) -> Spent:
    """Ask one question after the other."""
    wall, cpu = [], []
    for question in range(questions):
        start, computed = time.perf_counter(), time.process_time()
        ask(question)
        wall.append(1000 * (time.perf_counter() - start))
        cpu.append(1000 * (time.process_time() - computed))
    half, most = np.percentile(wall[WARM_UP:], (50, 99))
    return Spent(float(half), float(most), float(np.median(cpu[WARM_UP:])))


def indexes(items: int, kind: str, questions: int) -> Iterator[Row]:
    """Top 100 of the vectors by each index, the best candidates scored again in float32."""
    rows, asked = vectors(kind, items, questions)
    exact = faiss.IndexFlatIP(DIM)
    exact.add(rows)
    truth: dict[int, set[int]] = {}

    def all_items(question: int) -> None:
        _, found = exact.search(asked[question : question + 1], K)
        truth[question] = set(found[0].tolist())

    spent = timed(all_items, questions)
    yield Row(items, kind, "every item, float32", spent, 1.0, rows.nbytes / 1e6, 0)
    tried = [(factory(DIM, items), (1000, 3000)), (f"PQ{DIM // 2}x4fs", (3000,)), ("SQ8", (200,))]
    if items <= SLOW_BUILD:
        tried += [(f"IVF{CELLS},PQ{DIM // 2}x4fs", (3000,)), ("HNSW32", (K,))]
    sample = np.random.default_rng(0).choice(items, min(items, TRAINED_ON), replace=False)
    for description, depths in tried:
        started = time.monotonic()
        index = faiss.index_factory(DIM, description, faiss.METRIC_INNER_PRODUCT)
        index.train(rows[sample])
        index.add(rows)
        if description.startswith("IVF"):
            index.nprobe = CELLS // 8
        if description.startswith("HNSW"):
            index.hnsw.efSearch = 512
        seconds = time.monotonic() - started
        mb = len(faiss.serialize_index(index)) / 1e6
        for depth in depths:
            found: dict[int, npt.NDArray[np.int64]] = {}

            def ask(
                question: int, index: Any = index, depth: int = depth, found: Any = found
            ) -> None:
                found[question] = again(index, rows, asked[question : question + 1], depth)

            spent = timed(ask, questions)
            recall = np.mean([len(truth[q] & set(ids.tolist())) / K for q, ids in found.items()])
            what = f"{description}, best {depth} again"
            yield Row(items, kind, what, spent, float(recall), mb, seconds)


def again(index: Any, rows: Vectors, query: Vectors, depth: int) -> npt.NDArray[np.int64]:
    """Return the best 100 of the ``depth`` items that the index finds, by their real scores."""
    _, ids = index.search(query, depth)
    near = np.sort(ids[0][ids[0] >= 0])
    scores = rows[near] @ query[0]
    return near[np.argpartition(-scores, min(K, len(near)) - 1)[:K]]


def models(items: int, normalisation: str, questions: int) -> Iterator[Row]:
    """The whole graph, every scorer, reasons and cold items included."""
    recommender = model(items, normalisation)
    recommender.module.max_k = K
    people = users(recommender, questions)
    inputs = [
        {
            **vars(recommender.inputs(people.take(np.array([row])))),
            "exclude": np.zeros((1, 1), np.int64),
            "allow": np.zeros((1, 1), np.int64),
            "k": np.full((1, 1), K, np.int64),
        }
        for row in range(questions)
    ]
    config = ExportConfig(min_recall=0.0)
    what = f"`recommender`, normalisation {normalisation}"
    with tempfile.TemporaryDirectory(prefix="counterpoint-large-") as folder:
        graph = Path(folder) / "recommender.onnx"
        if items <= config.max_exact_items:
            started = time.monotonic()
            export_recommender(recommender, graph, opset=config.opset)
            seconds = time.monotonic() - started
            dense = session(graph)
            spent = timed(lambda question: dense.run(None, inputs[question]), questions)
            size = graph.stat().st_size / 1e6
            yield Row(items, "model", f"{what}, every item", spent, 1.0, size, seconds)
            del dense
            graph.unlink()
        started = time.monotonic()
        facts = export_large(recommender, graph, people, config)
        seconds = time.monotonic() - started
        recall = check_recall(graph, recommender, people.take(np.arange(50)), config)
        found = Retrieval(graph, graph.parent / FOLDER)
        spent = timed(lambda question: found.run(inputs[question]), questions)
        index = sum(each["mb"] for each in facts["indexes"].values())
        tables = sum(f.stat().st_size for f in Path(folder).rglob("*") if f.is_file()) / 1e6 - index
        told = f"{what}, index {index:.0f} MB, tables {tables:.0f} MB"
        yield Row(items, "model", told, spent, recall.overlap, index + tables, seconds)


def markdown(lines: Sequence[str], sizes: Sequence[int]) -> str:
    """Return the results as a page."""
    return "\n".join(
        [
            "# Large catalogues",
            "",
            f"Top {K}, {DIM} dimensions, one question at a time on one thread; {os.cpu_count()} "
            f"CPUs, load average {os.getloadavg()[0]:.1f} at the end. Vectors: `random` on the "
            "sphere, the worst case; `clustered`: unequal groups, falling spectrum. `model`: an "
            "untrained model of the usual sizes (two linear parts of 5,000 items, 32 attributes, "
            "1% of the items new, 384 features), recall against scoring every item in torch. CPU: "
            "median computing time, which load lengthens less. MB is "
            "the index alone, of models all files.",
            "",
            "| items | data | what | p50 ms | p99 ms | CPU ms | recall@100 | MB | build s |",
            "| ---: | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
            *lines,
            "",
            f"Reproduce: `.venv/bin/python -m benchmarks.serving.large --items "
            f"{' '.join(map(str, sizes))}`",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
