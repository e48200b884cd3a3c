"""How an answer of the server is shown to a person."""

import json
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from serving.client import Recommendations

SOURCES = {
    "known_user": "known user: history kept by the server",
    "history": "history in the request",
    "attributes": "attributes only",
    "start_page": "start page: nothing known",
}


def show(
    answer: Recommendations, *, question: str, titles: Mapping[str, str], console: Console
) -> None:
    """Print the recommended items with titles, scores and reasons.

    Args:
        answer: What the server said.
        question: Who asked, for the title.
        titles: item id -> title, for the reasons; an unknown id is shown as it is.
        console: Where to.
    """
    drawn = any(item.propensity is not None for item in answer.items)
    table = Table("rank", "title", "score", title_justify="left")
    if drawn:
        table.add_column("propensity")
    table.add_column("because you liked")
    table.title = f"{question} ({SOURCES.get(answer.source, answer.source)})"
    for rank, item in enumerate(answer.items, start=1):
        reasons = " · ".join(titles.get(reason, reason) for reason in item.reasons)
        chance = [f"{item.propensity:.3f}"] if item.propensity is not None else []
        cells = [str(rank), item.title or item.item_id, f"{item.score:.2f}", *chance]
        table.add_row(*cells, reasons or "—")
    console.print(table)
    if answer.degraded:
        console.print("[yellow]Degraded: the feature server did not answer in time.[/]")
    _show_unknown(answer, console)


def show_similar(answer: Recommendations, *, items: Sequence[str], console: Console) -> None:
    """Print similar items with titles and cosines."""
    table = Table("rank", "item", "title", "cosine", title_justify="left")
    table.title = f"Like {', '.join(items)}"
    for rank, item in enumerate(answer.items, start=1):
        table.add_row(str(rank), item.item_id, item.title, f"{item.score:.3f}")
    console.print(table)
    _show_unknown(answer, console)


def show_trace(answer: Recommendations, *, console: Console) -> None:
    """Print what each rule did."""
    for entry in json.loads(answer.trace):
        name = entry.pop("rule")
        done = ", ".join(f"{key} {value}" for key, value in entry.items())
        console.print(f"{name}: {done}", highlight=False, markup=False)


def _show_unknown(answer: Recommendations, console: Console) -> None:
    for kind, unknown in (
        ("items", answer.unknown_items),
        ("attributes", answer.unknown_attributes),
    ):
        if unknown:
            console.print(
                f"[yellow]Not known to the model, ignored {kind}: {', '.join(unknown)}[/]"
            )
