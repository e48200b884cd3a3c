"""The results as a Markdown page."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.quality.demands import check
from benchmarks.quality.runs import DEMO, MODEL
from counterpoint.trials import MIXED

SHORT = {
    "per_user": "PUR: each user's last 10% of events",
    "global_temporal": "GTF: the last 10% of all events by time, fold-in",
    "leave_last_out": "LLO: each user's last positive",
    "cold_items": "COLD: new items only, mean of three draws of 10% of the items",
    "warm_and_cold": "MIXED: PUR with 10% of the items withheld from the fit",
}


def markdown(results: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        results: One of ``table.summarise`` a protocol and split seed.
        facts: ``title``, ``data`` (a sentence), ``seeds``, ``config``, ``tune``, ``chart`` (file
            name or None), ``movielens_100k``.
    """
    seeds = ", ".join(map(str, facts["seeds"]))
    lines = [
        f"# Ranking quality: {facts['title']}",
        "",
        f"{facts['data']} Model: mean over the training seeds {seeds}; {facts['config']}. "
        f"Baselines: {facts['tune']}.",
        "",
        "Every method learns from the same events and ranks the whole catalogue (COLD: the new "
        "items) for the same users; what a user has met before is never recommended. Settings are "
        "chosen on validation, then fitted on train and validation, tested once. CPU seconds "
        "include both; peak memory is that of the method's own process, libraries included.",
        "",
        *_summary(results),
    ]
    if facts["chart"]:
        lines += ["", f"![NDCG@10 of every method on every protocol]({facts['chart']})"]
    for result in results:
        lines += ["", *_protocol(result, facts)]
    return "\n".join([*lines, ""])


def _summary(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """One row per protocol: model, best peer, gain."""
    yield "| protocol | split seed | model | best peer | gain | 95% interval |"
    yield "| --- | ---: | ---: | --- | ---: | --- |"
    for result in results:
        best, own = result["best_peer"], result["methods"].get(MODEL)
        peer = "–" if best is None else f"{_name(best)} {result['methods'][best]['ndcg']:.4f}"
        row = result["advantage"].get(best)
        yield (
            f"| {SHORT[result['protocol']].partition(':')[0]} | {result['split_seed']} | "
            f"{'–' if own is None else _value(own)} | {peer} | "
            f"{'–' if row is None else _gain(row)} | {'–' if row is None else _bounds(row)} |"
        )


def _protocol(result: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[str]:
    users, targets = (" / ".join(map(str, result[what])) for what in ("users", "targets"))
    yield f"## {SHORT[result['protocol']]} (split seed {result['split_seed']})"
    yield ""
    yield f"{users} users, {targets} targets."
    yield ""
    yield "| method | NDCG@10 | Recall@10 | Recall@20 | coverage@10 | CPU s | peak MB |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    rows = sorted(result["methods"].items(), key=lambda pair: pair[1]["ndcg"])
    for method, row in rows:
        splits = ""
        if len(row["by_split"]) > 1:
            splits = f" ({', '.join(f'{value:.3f}' for value in row['by_split'])})"
        yield (
            f"| {_name(method)} | {_value(row)}{splits} | {row['recall']:.4f} | "
            f"{row['recall@20']:.4f} | {row['coverage']:.3f} | {row['cpu_seconds']:.1f} | "
            f"{row['peak_mb']:.0f} |"
        )
    yield from _mixed(rows)
    if result["advantage"]:
        yield from ("", "Model minus method, NDCG@10 on the same users:", "")
        yield "| method | difference | relative | 95% interval | corrected p |"
        yield "| --- | ---: | ---: | --- | ---: |"
        for rival, row in result["advantage"].items():
            best = " (best peer)" if rival == result["best_peer"] else ""
            p = "–" if row["p_corrected"] is None else f"{row['p_corrected']:.4f}"
            yield (
                f"| {_name(rival)}{best} | {row['mean']:+.4f} | {_gain(row)} | {_bounds(row)} | "
                f"{p} |"
            )
    checks = check(result, movielens_100k=facts["movielens_100k"])
    if checks:
        yield from ("", "| demanded | found | |", "| --- | --- | --- |")
        for line in checks:
            verdict = "met" if line.met else "not reached" if line.aim else "**missed**"
            yield f"| {line.what} | {line.found} | {verdict} |"


def _mixed(rows: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    """What new items gain and what known ones lose, where both are tested together."""
    found = [(method, row[MIXED]) for method, row in rows if MIXED in row]
    if not found:
        return
    yield from (
        "",
        "NDCG@10 on targets of each kind; loss: of the warm part, when new items may be",
    )
    yield "recommended, against the same model with them barred."
    yield from ("", "| method | warm | cold | cold items listed | warm loss |")
    yield "| --- | ---: | ---: | ---: | ---: |"
    for method, row in found:
        yield (
            f"| {_name(method)} | {_shown(row['warm'], '.4f')} | {_shown(row['cold'], '.4f')} | "
            f"{_shown(row['cold_recommended'], '.1%')} | {_shown(row['warm_loss'], '.1%')} |"
        )


def _shown(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _name(method: str) -> str:
    shown = method.replace("_", " ")
    return f"**{shown}**" if method in (MODEL, DEMO) else shown


def _value(row: Mapping[str, Any]) -> str:
    spread = "" if row["ndcg_std"] is None else f" ± {row['ndcg_std']:.4f}"
    return f"{row['ndcg']:.4f}{spread}"


def _gain(row: Mapping[str, Any]) -> str:
    return "–" if row["relative"] is None else f"{row['relative']:+.1%}"


def _bounds(row: Mapping[str, Any]) -> str:
    return "–" if row["low"] is None else f"{row['low']:+.4f} to {row['high']:+.4f}"
