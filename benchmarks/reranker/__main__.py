"""Measure the re-ranker: ``python -m benchmarks.reranker [--quick]`` from the project's root.

Trains the recommender, the reader and the student on MovieLens-100K, and writes
``benchmarks/reranker/results/reranker.md`` and ``.json``: liking (AUC, log-loss) and ratings (RMSE)
beside their baselines, whether re-ranking pays (NDCG@10), and what reader and student cost.
"""

import argparse
import json
import os
import sys
from pathlib import Path

# One thread is fastest on a shared small machine, and makes CPU seconds comparable.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks.quality.runs import prepare
from benchmarks.reranker import page
from benchmarks.reranker.trial import measure
from counterpoint import config as configuration
from counterpoint import tables
from counterpoint.errors import CounterpointError
from counterpoint.isolation import isolated
from counterpoint.trial_data import TrialData

HERE = Path(__file__).parent
DATA = HERE.parent / "quality" / "data" / "movielens-100k.yaml"
QUICK = ("train.reranker.reader=null", "train.reranker.max_examples=3000")


def main() -> int:
    """Run the benchmark; return the exit status."""
    given = _arguments()
    overrides = [
        "train.reranker={reader: {}}",
        "train.choices.budget_seconds=20",
        *(QUICK if given.quick else ()),
        *given.set,
    ]
    try:
        settings = configuration.load([given.data], overrides)
        digest = isolated(prepare, settings, given.work)
        results = []
        for protocol in given.protocols:
            split = settings.features.split.model_copy(update={"protocol": protocol})
            data = TrialData(given.work / "tables", split)
            results.append(isolated(measure, settings, data, given.events))
            facts = {"data": given.data.stem, "dataset": digest, "overrides": overrides}
            given.results.mkdir(parents=True, exist_ok=True)
            stem = given.results / ("quick" if given.quick else "reranker")
            tables.write_json(stem.with_suffix(".json"), {**facts, "results": results})
            text = page.markdown(results, facts)
            stem.with_suffix(".md").write_text(text, "utf-8")
    except CounterpointError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(text)
    return 0


def render(path: Path) -> str:
    """Return the page of results that were written before."""
    content = json.loads(path.read_text("utf-8"))
    return page.markdown(content["results"], content)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reranker", description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, default=DATA, help="configuration with the section ingest")
    add("--protocols", nargs="+", default=["per_user"], help="how events are split by time")
    add("--events", type=int, default=2000, help="test events that every method judges")
    add("--quick", action="store_true", help="without reader, few examples: about a minute")
    add("--set", nargs="*", default=[], help="train.key=value overrides")
    add("--work", type=Path, default=Path("var/benchmarks/reranker"), help="tables")
    add("--results", type=Path, default=HERE / "results")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
