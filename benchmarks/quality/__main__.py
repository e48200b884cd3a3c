"""Measure ranking quality: ``python -m benchmarks.quality [--quick]`` from the project's root.

Fits every baseline and the model on each protocol, each in a process of its own, and writes
``benchmarks/quality/results/quality.md`` and ``.json`` (``<data>.md`` for other data).
MovieLens-100K and the encoder weights are fetched on first use; ``--data`` names other data.
"""

import argparse
import os
import sys
from pathlib import Path

# One thread is fastest on a shared small machine, and makes CPU seconds comparable.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks.quality import page, table
from benchmarks.quality.plan import Plan, known_baselines
from benchmarks.quality.runs import METRICS, prepare
from counterpoint import config as configuration
from counterpoint import tables
from counterpoint.config import Config, SplitConfig
from counterpoint.errors import CounterpointError
from counterpoint.isolation import isolated
from counterpoint.trial_data import TrialData
from counterpoint.trial_store import TrialStore

HERE = Path(__file__).parent
DEFAULT_DATA = HERE / "data" / "movielens-100k.yaml"
PROTOCOLS = ("per_user", "global_temporal", "leave_last_out")
QUICK_BASELINES = ("popularity", "ease", "edlae_recency")


def main() -> int:
    """Run the benchmark; return the exit status."""
    given = _arguments()
    if given.quick:
        given.seeds, given.protocols = given.seeds[:1], ["global_temporal"]
        given.baselines = given.baselines or list(QUICK_BASELINES)
    try:
        settings = configuration.load([given.data], given.set)
        return measure(given, settings)
    except CounterpointError as error:
        print(error, file=sys.stderr)
        return error.exit_code


def measure(given: argparse.Namespace, settings: Config) -> int:
    """Run every method on every protocol and write the results, after each protocol anew."""
    folder = given.work / given.data.stem
    digest = isolated(prepare, settings, folder)
    evaluate = settings.evaluate.model_copy(update={"metrics": METRICS})
    plan = Plan(
        settings=settings.model_copy(update={"evaluate": evaluate}),
        content_sha256=digest,
        store=TrialStore(given.work / "trials", reuse=given.resume),
        baselines=known_baselines() if given.baselines is None else given.baselines,
        seeds=[] if given.no_model else given.seeds,
    )
    facts = {
        "title": given.data.stem,
        "data": f"Content SHA-256 {digest[:12]}.",
        "seeds": given.seeds,
        "config": f"with {' '.join(given.set)}" if given.set else "default configuration",
    }
    given.results.mkdir(parents=True, exist_ok=True)
    results = []
    for protocol in given.protocols:
        for split_seed in given.split_seeds:
            split = SplitConfig(protocol=protocol, seed=split_seed)
            trials = list(plan.trials(TrialData(folder / "tables", split)))
            results.append(table.summarise(trials, protocol=protocol, split_seed=split_seed))
            text = page.markdown(results, facts)
            name = _name(given)
            (given.results / f"{name}.md").write_text(text, "utf-8")
            tables.write_json(
                given.results / f"{name}.json", {**facts, "dataset": digest, "results": results}
            )
    print(text)
    return 0


def _name(given: argparse.Namespace) -> str:
    """Stem of the results' files."""
    if given.quick:
        return "quick"
    return "quality" if given.data == DEFAULT_DATA else given.data.stem


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        default=DEFAULT_DATA,
        help="configuration with the section ingest of a data set",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="training seeds")
    parser.add_argument("--protocols", nargs="+", default=PROTOCOLS, choices=PROTOCOLS)
    parser.add_argument(
        "--split-seeds", type=int, nargs="+", default=[0], help="shuffles of equal timestamps"
    )
    parser.add_argument("--baselines", nargs="*", help="plugins (default: all)")
    parser.add_argument("--no-model", action="store_true", help="baselines alone")
    parser.add_argument(
        "--quick", action="store_true", help="one seed, global_temporal, few baselines: < 2 min"
    )
    parser.add_argument("--resume", action="store_true", help="reuse the trials of earlier runs")
    parser.add_argument("--set", nargs="*", default=[], help="train.key=value overrides")
    parser.add_argument(
        "--work", type=Path, default=Path("var/benchmarks/quality"), help="tables and trials"
    )
    parser.add_argument("--results", type=Path, default=HERE / "results")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
