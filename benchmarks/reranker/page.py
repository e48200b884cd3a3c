"""The results as a page."""

from collections.abc import Mapping, Sequence
from typing import Any

INTRODUCTION = (
    "# The re-ranker\n\n"
    "Made by `python -m benchmarks.reranker`; the parts: [docs/reranking.md]"
    "(../../../docs/reranking.md).\nOne training seed. Intervals (95%) resample the users; "
    "differences are paired. Liking is judged on pairs of\na history and a candidate: the event "
    "itself and, if it was liked, two items drawn by popularity and two of the\nrecommender's "
    "best 100. Events that were not liked count as such. Every method judges the same pairs;\n"
    "the logistic regressions learn from the student's.\n"
)


def markdown(results: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> str:
    """Return the page."""
    parts = [INTRODUCTION, f"Data: {facts['data']} (content SHA-256 {facts['dataset'][:12]}).\n"]
    parts.append(f"Settings: `{' '.join(facts['overrides'])}`.\n")
    for result in results:
        parts += [f"## Split `{result['protocol']}`\n", _click(result["click"])]
        if result["rating"]:
            parts.append(_rating(result["rating"]))
        parts += [_ranking(result), _cost(result)]
    return "\n".join(parts)


def _click(found: Mapping[str, Any]) -> str:
    rows = [
        f"### Liking: {found['pairs']:,} pairs, {found['liked']:.1%} liked\n",
        f"| method | AUC | over {found['reference']} | log-loss | over {found['reference']} |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, values in found["methods"].items():
        auc, loss = values["auc"], values["log_loss"]
        rows.append(
            f"| {name} | {_value(auc)} | {_difference(auc['over'], name, found)} | {_value(loss)} "
            f"| {_difference(loss['over'], name, found)} |"
        )
    return "\n".join(rows) + "\n"


def _rating(found: Mapping[str, Any]) -> str:
    rows = [
        f"### Ratings: {found['ratings']:,}\n",
        f"| method | RMSE | over {found['reference']} |",
        "| --- | --- | --- |",
    ]
    for name, values in found["methods"].items():
        rmse = values["rmse"]
        rows.append(f"| {name} | {_value(rmse)} | {_difference(rmse['over'], name, found)} |")
    return "\n".join(rows) + "\n"


def _ranking(result: Mapping[str, Any]) -> str:
    report = result["report"]
    rows = [
        f"### Re-ranking the best {result['cost']['depth']}: {result['test_users']} test users\n",
        f"Weight taken on validation ({report['valid_users']} users): **{report['weight']}**.\n",
        "| weight | validation NDCG@10 | "
        + " | ".join(f"test, {name} | difference" for name in result["ranking"])
        + " |",
        "| --- | --- |" + " --- | --- |" * len(result["ranking"]),
    ]
    for weight, valid in report["valid_ndcg"].items():
        cells = []
        for ranked in result["ranking"].values():
            found = ranked[weight]
            change = "" if weight == "0.0" else _signed(found)
            cells += [f"{found['ndcg']:.4f}", change]
        rows.append(f"| {weight} | {valid:.4f} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def _cost(result: Mapping[str, Any]) -> str:
    cost, report = result["cost"], result["report"]
    spent = report["cpu_seconds"]
    rows = ["### Cost (one CPU thread)\n", "| what | |", "| --- | --- |"]
    if cost["reader_ms_per_pair"]:
        one, many = cost["reader_ms_per_pair"], cost["depth"]
        rows += [
            f"| reader, a pair | {one:.1f} ms |",
            f"| reader, a request of {many} candidates | {one * many / 1000:.2f} s |",
        ]
    rows += [
        f"| student, a request of {cost['depth']} candidates | "
        f"{cost['student_ms_per_request']:.2f} ms |",
        f"| student, parameters | {cost['student_parameters']:,} |",
        f"| training: examples, with three recommenders | {spent['examples']:.0f} CPU s |",
        f"| training: reader and its {report['imitated_pairs']:,} judgements | "
        f"{spent['teacher']:.0f} CPU s |",
        f"| training: student and choice of the weight | {spent['rest']:.0f} CPU s |",
        f"| the recommender itself | {cost['recommender_cpu_seconds']:.0f} CPU s |",
    ]
    return "\n".join(rows) + "\n"


def _value(found: Mapping[str, Any]) -> str:
    return f"{found['mean']:.4f} [{found['low']:.4f}, {found['high']:.4f}]"


def _difference(found: Mapping[str, Any], name: str, table: Mapping[str, Any]) -> str:
    return "" if name == table["reference"] else _signed(found)


def _signed(found: Mapping[str, Any]) -> str:
    return f"{found['mean']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"
