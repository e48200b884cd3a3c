"""The results as a Markdown page."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.quality.runs import MODEL

SHORT = {"global_temporal": "GTF", "per_user": "PUR", "leave_last_out": "LLO"}


def markdown(results: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        results: One of ``table.summarise`` a protocol and split.
        facts: ``title``, ``data`` (sentences), ``seeds``, ``config``.
    """
    seeds = ", ".join(map(str, facts["seeds"]))
    lines = [
        f"# Ranking quality: {facts['title']}",
        "",
        f"{facts['data']} Model: mean over the training seeds {seeds}; {facts['config']}.",
        "",
        "Every method learns from the same events and ranks the whole catalogue for the same "
        "users; what a user has met before is never recommended. CPU seconds include choices on "
        "validation and the refit; peak memory is that of the method's own process.",
    ]
    for result in results:
        lines += ["", *_protocol(result)]
    return "\n".join([*lines, ""])


def _protocol(result: Mapping[str, Any]) -> list[str]:
    protocol = result["protocol"]
    lines = [
        f"## {SHORT.get(protocol, protocol)}: {protocol}, split seed {result['split_seed']}, "
        f"{result['users']} users, {result['targets']} targets",
        "",
        "| method | NDCG@10 | Recall@10 | Recall@20 | coverage@10 | CPU s | peak MB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for method, row in sorted(result["methods"].items(), key=lambda pair: pair[1]["ndcg"]):
        spread = f" ± {row['ndcg_std']:.4f}" if "ndcg_std" in row else ""
        shown = f"**{method}**" if method == MODEL else method.replace("_", " ")
        lines.append(
            f"| {shown} | {row['ndcg']:.4f}{spread} | {row['recall']:.4f} | "
            f"{row['recall@20']:.4f} | {row['coverage']:.3f} | {row['cpu_seconds']:.1f} | "
            f"{row['peak_mb']:.0f} |"
        )
    if result.get("advantage"):
        lines += ["", "Paired difference in NDCG@10, same users, 95% bootstrap interval:", ""]
        for rival, found in result["advantage"].items():
            best = " (the best peer)" if rival == result["best_peer"] else ""
            relative = "" if found["relative"] is None else f" ({found['relative']:+.1%})"
            lines.append(
                f"- model over {rival.replace('_', ' ')}{best}: {found['mean']:+.4f}{relative}, "
                f"{found['low']:+.4f} to {found['high']:+.4f}"
            )
    return lines
