"""How an answer of the server is shown to a person."""

from collections.abc import Mapping

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
    table = Table("rank", "title", "score", "because you liked", title_justify="left")
    table.title = f"{question} ({SOURCES.get(answer.source, answer.source)})"
    for rank, item in enumerate(answer.items, start=1):
        reasons = " · ".join(titles.get(reason, reason) for reason in item.reasons)
        table.add_row(str(rank), item.title or item.item_id, f"{item.score:.2f}", reasons or "—")
    console.print(table)
    if answer.degraded:
        console.print("[yellow]Degraded: the feature server did not answer in time.[/]")
    for kind, unknown in (
        ("items", answer.unknown_items),
        ("attributes", answer.unknown_attributes),
    ):
        if unknown:
            console.print(
                f"[yellow]Not known to the model, ignored {kind}: {', '.join(unknown)}[/]"
            )
