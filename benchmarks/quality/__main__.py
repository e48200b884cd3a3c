"""Measure ranking quality: ``python -m benchmarks.quality [--quick]`` from the project's root.

Tunes and fits every baseline and trains the model on each protocol, each in a process of its own,
and writes ``benchmarks/quality/results/quality.md``, ``.svg``, ``.json`` and ``-choices.jsonl``:
the log of every choice made on validation (``<data>.*`` for other data). MovieLens-100K and the
encoder weights are fetched on first use; ``--data`` names other data,
``python -m benchmarks.quality.datasets`` fetches two sets more.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

# One thread is fastest on a shared small machine, and makes CPU seconds comparable.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks.quality import chart, page, table
from benchmarks.quality.demands import check
from benchmarks.quality.plan import PROTOCOLS, Plan, known_baselines, splits
from benchmarks.quality.runs import METRICS, prepare
from counterpoint import config as configuration
from counterpoint import tables
from counterpoint.config import Config
from counterpoint.errors import CounterpointError, QualityError
from counterpoint.isolation import isolated
from counterpoint.trial_data import TrialData
from counterpoint.trial_store import TrialStore

HERE = Path(__file__).parent
DEFAULT_DATA = HERE / "data" / "movielens-100k.yaml"
DEMO = Path("pipelines/configs/demo.yaml")
QUICK_BASELINES = ("popularity", "ease", "edlae_recency")
TUNED = {
    "all": "tuned on validation, each over its documented grid",
    "closed_form": "tuned on validation where in closed form, else documented defaults",
    "none": "documented defaults",
}


def main() -> int:
    """Run the benchmark; return the exit status."""
    given = _arguments()
    if given.quick:
        given.seeds, given.protocols, given.tune = given.seeds[:1], ["global_temporal"], "none"
        given.baselines = given.baselines or list(QUICK_BASELINES)
        given.no_demo = True
    try:
        return measure(given)
    except CounterpointError as error:
        print(error, file=sys.stderr)
        return error.exit_code


def measure(given: argparse.Namespace) -> int:
    """Run every method on every protocol and write the results, after each protocol anew."""
    settings = _measured(configuration.load([given.data], given.set))
    demo = _measured(configuration.load([given.data, DEMO], given.set))
    folder = given.work / given.data.stem
    digest = isolated(prepare, settings, folder)
    plan = Plan(
        settings=settings,
        content_sha256=digest,
        store=TrialStore(given.work / "trials", reuse=given.resume),
        baselines=known_baselines() if given.baselines is None else given.baselines,
        tune=given.tune,
        seeds=[] if given.no_model else given.seeds,
        demo=None if given.no_demo or demo.train == settings.train else demo,
    )
    name = _name(given)
    facts = {
        "title": given.data.stem,
        "data": f"Content SHA-256 {digest[:12]}.",
        "seeds": given.seeds,
        "config": f"with {' '.join(given.set)}" if given.set else "default configuration",
        "tune": TUNED[given.tune],
        "chart": f"{name}.svg",
        "movielens_100k": given.data == DEFAULT_DATA,
    }
    given.results.mkdir(parents=True, exist_ok=True)
    results, choices = [], []
    for protocol in given.protocols:
        for split_seed in given.split_seeds:
            data = [TrialData(folder / "tables", s) for s in splits(protocol, split_seed)]
            parts = [list(plan.trials(each)) for each in data]
            results.append(table.summarise(parts, protocol=protocol, split_seed=split_seed))
            train = settings.train.model_dump(mode="json")
            content = {**facts, "dataset": digest, "train": train, "results": results}
            where = {"protocol": protocol, "split_seed": split_seed}
            choices += [where | record for record in results[-1].pop("choices")]
            chart.draw(results, given.results / f"{name}.svg")
            tables.write_json(given.results / f"{name}.json", content)
            lines = "".join(json.dumps(record, default=str) + "\n" for record in choices)
            (given.results / f"{name}-choices.jsonl").write_text(lines, "utf-8")
            text = page.markdown(results, facts)
            (given.results / f"{name}.md").write_text(text, "utf-8")
    print(text)
    return QualityError.exit_code if given.check and _missed(results, facts) else 0


def _missed(results: list[dict[str, Any]], facts: dict[str, Any]) -> bool:
    lines = [c for r in results for c in check(r, movielens_100k=facts["movielens_100k"])]
    return any(not line.met and not line.aim for line in lines)


def _measured(settings: Config) -> Config:
    evaluate = settings.evaluate.model_copy(update={"metrics": METRICS})
    return settings.model_copy(update={"evaluate": evaluate})


def _name(given: argparse.Namespace) -> str:
    """Stem of the results' files."""
    if given.quick:
        return "quick"
    return "quality" if given.data == DEFAULT_DATA else given.data.stem


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, default=DEFAULT_DATA, help="configuration with the section ingest")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="training seeds")
    add("--protocols", nargs="+", default=PROTOCOLS, choices=PROTOCOLS)
    add("--split-seeds", type=int, nargs="+", default=[0], help="shuffles of equal timestamps")
    add("--baselines", nargs="*", help="plugins (default: all)")
    add("--tune", choices=TUNED, default="all", help="which baselines are tuned on validation")
    add("--no-model", action="store_true", help="baselines alone")
    add("--no-demo", action="store_true", help="without the smaller budget of the demo")
    add("--quick", action="store_true", help="one seed, one protocol, few baselines: < 2 minutes")
    add("--check", action="store_true", help="exit status 5 if a demanded figure is missed")
    add("--resume", action="store_true", help="reuse the finished trials of earlier runs")
    add("--set", nargs="*", default=[], help="train.key=value overrides")
    add("--work", type=Path, default=Path("var/benchmarks/quality"), help="tables and trials")
    add("--results", type=Path, default=HERE / "results")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
