"""How an explanation is shown to a person."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from counterpoint.explain import Contribution, Explanation
    from counterpoint.explainer import Account, Explainer
    from counterpoint.nearest_users import Neighbours
    from counterpoint.text_terms import TextTerms

SHOWN = 5
"""Longest lists of a page."""

BECAUSE = {
    "history": "because of the history",
    "attributes": "no likes known: popular among users of these attributes",
    "popular": "nothing known: popular (the start page)",
}


def show(account: "Account", console: Console) -> None:
    """Print one explanation."""
    found = account.explanation
    cold = "; a cold item, scored from its text and attributes" if found.cold else ""
    console.print(
        f"{found.title} ({found.item_id}) for {found.user_id}: place {found.rank}, score "
        f"{found.score:.2f}; {BECAUSE[found.because]}{cold}",
        style="bold",
        markup=False,
        highlight=False,
    )
    table = Table("without", "liked", "score", "place", "share")
    for one in _shown(found.events):
        table.add_row(escape(one.title), "yes" if one.liked else "no", *_figures(found, one))
    for one in _shown(found.attributes):
        table.add_row(escape(one.name), "", *_figures(found, one))
    if found.without_named is not None:
        table.add_section()
        table.add_row(
            f"the first {len(found.named)} liked together" if len(found.named) > 1 else "the first",
            "",
            f"{found.without_named:.2f}",
            str(found.rank_without_named),
            "",
        )
    if table.rows:
        console.print(table)
    parts = [f"{name} {value:+.2f}" for name, value in found.parts.items() if abs(value) > 0.005]
    console.print(f"Scorers: {' · '.join(parts)}")
    if account.terms is not None:
        console.print(_terms(account.terms), markup=False)
    if account.neighbours is not None:
        console.print(_neighbours(account.neighbours), markup=False)
    console.print()


def _shown(all_: "Sequence[Contribution]") -> "list[Contribution]":
    """The greatest contributions, and the most harmful one."""
    best = [one for one in all_[:SHOWN] if one.contribution > 0]
    worst = all_[-1:] if all_ and all_[-1].contribution < 0 else []
    return [*best, *worst]


def _figures(found: "Explanation", one: "Contribution") -> tuple[str, str, str]:
    return (
        f"{found.score - one.contribution:.2f}",
        str(one.rank_without),
        f"{one.share:+.0%}",
    )


def _terms(found: "TextTerms") -> str:
    terms = [t for t in found.terms if t.contribution > 0.005][:SHOWN]
    words = ", ".join(f"{t.term} {t.contribution:+.2f}" for t in terms) or "none speaks for it"
    return f"Words: {words}" + ("" if found.exact else " (as if the item were new)")


def _neighbours(found: "Neighbours") -> str:
    if not found.pool:
        return "Similar users: none."
    nearest = ", ".join(f"{n.user_id} ({n.common} likes in common)" for n in found.nearest)
    return (
        f"Similar users: {found.liked} of the {found.pool} nearest liked it, "
        f"{found.expected:.1f} would by chance" + (f"; nearest: {nearest}." if nearest else ".")
    )


def faithfulness(explainer: "Explainer", pairs: int) -> dict[str, Any]:
    """Medians and shares of the deletion test, as plain values."""
    import numpy as np

    from counterpoint.faithfulness import RANDOM, deletions

    found = deletions(explainer.recommender, explainer.users, pairs=pairs, seed=0)
    other = found[RANDOM].fall
    return {
        "pairs": len(other),
        "removed": {
            name: {
                "median_fall": float(np.median(one.fall)),
                "lower": float((one.fall > 0).mean()),
                "more_than_random": None if name == RANDOM else float((one.fall > other).mean()),
                "median_places_lost": float(np.median(one.places)),
            }
            for name, one in found.items()
        },
    }


def show_faithfulness(found: dict[str, Any], console: Console) -> None:
    """Print the deletion test."""
    table = Table(
        "removed",
        "median fall",
        "score falls",
        "more than at random",
        "places lost",
    )
    console.print(
        f"Deletion test over {found['pairs']} users: three liked items of the history are removed",
        style="bold",
    )
    names = {
        "explained": "by explain",
        "served": "by the server",
        "random": "at random",
    }
    for name, row in found["removed"].items():
        more = row["more_than_random"]
        table.add_row(
            names[name],
            f"{row['median_fall']:.2f}",
            f"{row['lower']:.0%}",
            "" if more is None else f"{more:.0%}",
            f"{row['median_places_lost']:.1f}",
        )
    console.print(table)
