"""Measure monitoring: ``python -m benchmarks.monitoring`` from the project's root.

Trains a model on the first part of MovieLens-100K, monitors every later window and planted changes,
then counts false alarms on windows without drift. Writes ``benchmarks/monitoring/results``.
"""

import argparse
import logging
import os
import sys
import tempfile
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

# One thread is fastest on a shared small machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks.monitoring import early, stationary
from counterpoint import columns, tables
from counterpoint import config as configuration
from counterpoint.config import IngestConfig
from counterpoint.encoder import TextEncoder
from counterpoint.errors import CounterpointError
from counterpoint.stages import ingest
from counterpoint.text import item_texts


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.monitoring", description=__doc__)
    parser.add_argument("--fraction", type=float, default=0.7, help="events the early model knows")
    parser.add_argument("--days", type=int, default=14, help="length of a window")
    parser.add_argument("--null", type=int, default=200, help="windows without drift (0: skip)")
    parser.add_argument("--seed", type=int, default=0, help="of the early model")
    parser.add_argument(
        "--rounds",
        type=int,
        nargs="+",
        default=[1000, 2000, 3000, 4000],
        help="seeds of the rounds without drift, which share the windows",
    )
    parser.add_argument("--cache", type=Path, default=Path("var/assets"))
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    try:
        measure(given)
    except CounterpointError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def measure(given: argparse.Namespace) -> None:
    """Run both parts and write the results."""
    settings = configuration.load(overrides=[f"train.encoder.cache={given.cache}"])
    given.results.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        ingest.run(IngestConfig(cache=str(given.cache)), dataset=folder / "dataset")
        data = tables.read(folder / "dataset")
        until = data.interactions[columns.TIMESTAMP].quantile(given.fraction)
        assert isinstance(until, datetime), "MovieLens has events"
        early.train(data, until, settings.train, folder, seed=given.seed)
        watched = early.watch(data, until, folder, days=given.days, seed=given.seed)
        page = _windows(watched, until, given.days)
        content = {"until": until, "windows": [asdict(one) for one in watched]}
        if given.null:
            vectors = TextEncoder(settings.train.encoder).encode(item_texts(data.items))
            tallies = stationary.total(
                stationary.measure(
                    data,
                    vectors,
                    windows=given.null // len(given.rounds),
                    days=given.days,
                    seed=seed,
                )
                for seed in given.rounds
            )
            page += _tallies(tallies)
            content["stationary"] = {name: tally.record() for name, tally in tallies.items()}
    (given.results / "monitoring.md").write_text(page, "utf-8")
    tables.write_json(given.results / "monitoring.json", content)
    print(page)


def _windows(watched: list[early.Watched], until: datetime, days: int) -> str:
    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.3f}"

    rows = [
        f"| {w.window} | {w.starts} | {w.events} | {w.users} | {w.verdict} | {w.drifted} | "
        f"{number(w.expected)} | {number(w.realised)} |"
        for w in watched
    ]
    return "\n".join(
        [
            f"## Windows of {days} days after a model that ends {until:%Y-%m-%d}",
            "",
            "| window | after | events | users | verdict | drifted | NDCG@10 expected | realised |",
            "| --- | --- | ---: | ---: | --- | --- | ---: | ---: |",
            *rows,
            "",
        ]
    )


def _tallies(tallies: dict[str, stationary.Tally]) -> str:
    rows = []
    for name, tally in tallies.items():
        shares = [
            f"{tally.verdicts[verdict] / max(1, tally.windows):.1%}"
            for verdict in ("ok", "drift", "retrain")
        ]
        signals = ", ".join(f"{s} {n}" for s, n in tally.drifted.most_common() if n)
        rows.append(f"| {name} | {tally.windows} | {' | '.join(shares)} | {signals} |")
    unchanged = tallies["unchanged"]
    levels = ", ".join(
        f"{name} {n / max(1, unchanged.windows):.1%}"
        for name, n in sorted(unchanged.significant.items())
    )
    return "\n".join(
        [
            "",
            "## Windows of a data set without drift (users moved in time at random)",
            "",
            "| window | looked at | ok | drift | retrain | drifted signals |",
            "| --- | ---: | ---: | ---: | ---: | --- |",
            *rows,
            "",
            f"Unchanged windows in which a signal's own p-value is at most {stationary.LEVEL} "
            f"(before Holm and the size that matters): {levels}.",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
