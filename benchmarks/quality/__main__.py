"""Measure ranking quality: ``python -m benchmarks.quality [--quick]`` from the project's root.

Fetches MovieLens-100K and the encoder weights once, fits every baseline and the model on each
protocol, and writes ``benchmarks/quality/results/quality.md`` and ``quality.json``.
"""

import argparse
import os
import sys
from pathlib import Path

# One thread is fastest on a shared small machine, and makes CPU seconds comparable.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks.quality import table
from benchmarks.quality.runs import fetch, isolated, run_baseline, run_model
from counterpoint import config as configuration
from counterpoint import tables
from counterpoint.config import SplitConfig
from counterpoint.errors import CounterpointError

PROTOCOLS = ("per_user", "global_temporal", "leave_last_out")


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="training seeds")
    parser.add_argument("--protocols", nargs="+", default=PROTOCOLS[:2], choices=PROTOCOLS)
    parser.add_argument("--split-seed", type=int, default=0, help="shuffle of equal timestamps")
    parser.add_argument("--baselines", nargs="*", help="plugins (default: those of evaluate)")
    parser.add_argument("--no-model", action="store_true", help="baselines alone")
    parser.add_argument("--quick", action="store_true", help="one seed, global_temporal")
    parser.add_argument("--set", nargs="*", default=[], help="train.key=value overrides")
    parser.add_argument("--cache", type=Path, default=Path("var/assets"))
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    if given.quick:
        given.seeds, given.protocols = given.seeds[:1], ["global_temporal"]
    try:
        settings = configuration.load(overrides=given.set)
        return measure(given, settings)
    except CounterpointError as error:
        print(error, file=sys.stderr)
        return error.exit_code


def measure(given: argparse.Namespace, settings: configuration.Config) -> int:
    """Run every method on every protocol and write the results."""
    dataset = given.cache.parent / "benchmarks" / "quality"
    digest = isolated(fetch, given.cache, dataset)
    names = settings.evaluate.baselines if given.baselines is None else given.baselines
    results = []
    for protocol in given.protocols:
        split = SplitConfig(protocol=protocol, seed=given.split_seed)
        runs = []
        for name in names:
            runs.append(isolated(run_baseline, name, dataset, split))
            _tell(protocol, runs[-1])
        for seed in [] if given.no_model else given.seeds:
            runs.append(isolated(run_model, dataset, split, seed, settings.train, given.cache))
            _tell(protocol, runs[-1])
        results.append(table.summarise(protocol, runs))
    source = f"MovieLens-100K (content SHA-256 {digest[:12]}), ties shuffled with seed "
    page = table.markdown(results, dataset=f"{source}{given.split_seed}", seeds=given.seeds)
    given.results.mkdir(parents=True, exist_ok=True)
    (given.results / "quality.md").write_text(page, "utf-8")
    tables.write_json(
        given.results / "quality.json",
        {"dataset": digest, "split_seed": given.split_seed, "results": results},
    )
    print(page)
    return 0


def _tell(protocol: str, run: table.Run) -> None:
    seed = "" if run.seed is None else f" seed {run.seed}"
    print(
        f"{protocol} {run.method}{seed}: NDCG@10 {run.values['ndcg']:.4f}, "
        f"{run.cpu_seconds:.1f} CPU s, peak {run.peak_mb:.0f} MB",
        file=sys.stderr,
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
