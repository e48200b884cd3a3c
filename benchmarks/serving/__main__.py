"""Measure serving: ``python -m benchmarks.serving`` from the project's root.

Runs the parts of ``benchmarks/serving/parts`` one after the other (about an hour at full size),
each against servers of its own, and writes ``benchmarks/serving/results/serving.md`` and
``serving.json``. ``--only`` runs some and keeps the results of the others. Use a machine that does
nothing else.
"""

import argparse
import dataclasses
import logging
import os
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks.serving import model, page
from benchmarks.serving.part import Part, Result, Setting
from counterpoint import config as configuration
from counterpoint import plugins, tables
from counterpoint.errors import CounterpointError

PARTS = "benchmarks.serving.parts"
QUICK = 0.02


def main() -> int:
    """Run the benchmark; return the exit status."""
    parts = ordered()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(parts), default=list(parts))
    parser.add_argument(
        "--size", type=float, default=1.0, help="share of the requests of a full run"
    )
    parser.add_argument("--quick", action="store_true", help=f"as --size {QUICK}, prints only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], help="section.key=value overrides")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    size = QUICK if given.quick else given.size
    target = given.results / "serving.json"
    kept: dict[str, Any] = {}
    if target.is_file() and not given.quick:
        kept = tables.read_json(target).get("parts", {})
    try:
        config = configuration.load(overrides=given.set)
        with model.version(config) as (name, folder):
            features = model.feature_state(config)
            for each in given.only:
                with tempfile.TemporaryDirectory(prefix="counterpoint-serving-") as scratch:
                    setting = Setting(
                        *(config, name, folder, features, Path(scratch)),
                        size=size,
                        seed=given.seed,
                        overrides=given.set,
                    )
                    kept[each] = measured(parts[each], setting)
                found = {name: kept[name] for name in parts if name in kept}
                text = page.markdown(found, given.results)
                if not given.quick:
                    given.results.mkdir(parents=True, exist_ok=True)
                    tables.write_json(target, {"parts": found})
                    (given.results / "serving.md").write_text(text, "utf-8")
    except CounterpointError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(text)
    return 0


def ordered() -> dict[str, Part]:
    """Return the parts by name, in their order."""
    found: dict[str, Any] = {name: plugins.load(PARTS, name) for name in plugins.names(PARTS)}
    return dict(sorted(found.items(), key=lambda pair: pair[1].ORDER))


def measured(part: Part, setting: Setting) -> dict[str, Any]:
    """Run a part and return its entry of serving.json."""
    logging.getLogger(__name__).info("%s …", part.TITLE)
    load, started = os.getloadavg()[0], time.monotonic()
    result: Result = part.run(setting)
    machine = {
        "when": datetime.now(UTC).date().isoformat(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "load_before": round(load, 1),
        "load_after": round(os.getloadavg()[0], 1),
        "seconds": round(time.monotonic() - started, 1),
    }
    return {
        "title": part.TITLE,
        "size": setting.size,
        "machine": machine,
        **dataclasses.asdict(result),
    }


if __name__ == "__main__":
    sys.exit(main())
