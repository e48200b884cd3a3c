"""The runs as JSON and as a Markdown table."""

from typing import Any

import numpy as np

from benchmarks.quality.runs import METRICS, Run
from counterpoint.bootstrap import paired_interval
from counterpoint.config import EvaluateConfig

SHORT = {"global_temporal": "GTF", "per_user": "PUR", "leave_last_out": "LLO"}
RIVALS = ("ease", "edlae_recency")

DEMANDED = {"per_user": 0.175, "global_temporal": 0.275}
"""NDCG@10 that the mean over the seeds must reach."""


def summarise(protocol: str, runs: list[Run]) -> dict[str, Any]:
    """Mean, spread and cost of each method, and the model's paired advantage over the rivals."""
    methods = {run.method: [r for r in runs if r.method == run.method] for run in runs}
    mean_ndcg = {
        name: np.mean([run.ndcg for run in found], axis=0) for name, found in methods.items()
    }
    config = EvaluateConfig()
    result: dict[str, Any] = {
        "protocol": protocol,
        "users": runs[0].users,
        "targets": runs[0].targets,
        "methods": {name: _method(found) for name, found in methods.items()},
    }
    if "model" in methods:
        result["advantage"] = {
            rival: vars(
                paired_interval(
                    mean_ndcg["model"],
                    mean_ndcg[rival],
                    resamples=config.resamples,
                    confidence=config.confidence,
                    seed=config.seed,
                )
            )
            for rival in RIVALS
            if rival in methods
        }
        result["model_runs"] = [
            {"seed": run.seed, "ndcg": run.values["ndcg"], "report": run.report}
            for run in methods["model"]
        ]
        if protocol in DEMANDED:
            found = result["methods"]["model"]["ndcg"]
            result["demanded"] = {"ndcg": DEMANDED[protocol], "met": found >= DEMANDED[protocol]}
    return result


def _method(runs: list[Run]) -> dict[str, Any]:
    values: dict[str, Any] = {m: float(np.mean([r.values[m] for r in runs])) for m in METRICS}
    if len(runs) > 1:
        values["ndcg_std"] = float(np.std([r.values["ndcg"] for r in runs], ddof=1))
    values["seeds"] = len(runs)
    values["cpu_seconds"] = float(np.mean([r.cpu_seconds for r in runs]))
    values["peak_mb"] = float(np.max([r.peak_mb for r in runs]))
    return values


def markdown(results: list[dict[str, Any]], *, dataset: str, seeds: list[int]) -> str:
    """The page ``results/quality.md``."""
    lines = [
        "# Ranking quality",
        "",
        f"{dataset}. Model: mean over the training seeds {', '.join(map(str, seeds))}.",
        "CPU seconds include choices on validation and refit; peak memory is that of the process.",
    ]
    for result in results:
        lines += ["", *_protocol(result)]
    return "\n".join([*lines, ""])


def _protocol(result: dict[str, Any]) -> list[str]:
    name = result["protocol"]
    lines = [
        f"## {SHORT[name]}: {name}, {result['users']} users, {result['targets']} targets",
        "",
        "| method | NDCG@10 | Recall@10 | Recall@20 | coverage@10 | CPU s | peak MB |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for method, row in sorted(result["methods"].items(), key=lambda pair: pair[1]["ndcg"]):
        spread = f" ± {row['ndcg_std']:.4f}" if "ndcg_std" in row else ""
        shown = f"**{method}**" if method == "model" else method
        lines.append(
            f"| {shown} | {row['ndcg']:.4f}{spread} | {row['recall']:.4f} | "
            f"{row['recall@20']:.4f} | {row['coverage']:.3f} | {row['cpu_seconds']:.1f} | "
            f"{row['peak_mb']:.0f} |"
        )
    if "advantage" in result:
        lines += ["", "Paired difference in NDCG@10, same users, 95% bootstrap interval:", ""]
        for rival, found in result["advantage"].items():
            base = result["methods"][rival]["ndcg"]
            lines.append(
                f"- model over {rival}: {found['mean']:+.4f} ({found['mean'] / base:+.1%}), "
                f"{found['low']:+.4f} to {found['high']:+.4f}"
            )
    if "demanded" in result:
        demanded = result["demanded"]
        verdict = "met" if demanded["met"] else "**missed**"
        lines.append(f"- demanded NDCG@10 {demanded['ndcg']:.3f}: {verdict}")
    return lines
