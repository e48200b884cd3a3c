"""The item vectors of a model on a plane, coloured by what they are: a page to look at.

t-SNE (van der Maaten and Hinton 2008; Barnes-Hut, started from the principal components, seeded)
keeps near what is near: islands are items that the model takes for alike. Distances between islands
and their sizes mean nothing.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from jinja2 import Environment
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from counterpoint import columns
from counterpoint.recommender import Recommender

COLOURS = (
    *("#4363d8", "#e6194b", "#3cb44b", "#f58231", "#911eb4", "#008b8b"),
    *("#f032e6", "#808000", "#9a6324", "#1b3a6b"),
)
OTHER = "#c3cad4"
"""Of groups beyond the ten largest, and of items that have none."""

WIDTH, HEIGHT, MARGIN = 900, 620, 14
PERPLEXITY = 30.0
STEPS = 500
"""Of gradient descent, twice scikit-learn's least: 2 CPU s for 1,400 items, 7 for 3,000."""


@dataclass(frozen=True)
class Map:
    """Items on a plane.

    Attributes:
        points: (M, 2), in [0, 1].
        titles: (M,).
        groups: (M,) one value of the telling attribute for each item; empty where it has none.
        attribute: Name of that attribute; none if the items have no attributes.
    """

    points: npt.NDArray[np.float64]
    titles: list[str]
    groups: list[str]
    attribute: str | None


def draw(recommender: Recommender, *, max_items: int, seed: int) -> Map:
    """Lay out the vectors of the most popular items.

    Args:
        recommender: The model.
        max_items: Items that nobody has liked have no vector worth showing and are left out; of the
            others the most popular.
        seed: Of the layout.
    """
    module = recommender.module
    warm = np.flatnonzero(module.cold.warm.numpy())
    popular = warm[np.argsort(-module.prior.base.numpy()[warm], kind="stable")]
    chosen = np.sort(popular[:max_items])
    rows = recommender.items[chosen]
    titles = rows.select(columns.TITLE, columns.ITEM).iter_rows()
    attribute, groups = telling(rows[columns.ATTRIBUTES].to_list())
    return Map(
        layout(module.tower.vectors.numpy()[chosen], seed=seed),
        [title or item for title, item in titles],
        groups,
        attribute,
    )


def layout(vectors: npt.NDArray[np.float32], *, seed: int) -> npt.NDArray[np.float64]:
    """Return (M, 2) points in [0, 1] of (M, d) vectors, by direction alone."""
    if len(vectors) < 3:
        return np.linspace(0.25, 0.75, max(len(vectors), 1))[: len(vectors), None].repeat(2, axis=1)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    if not np.ptp(unit, axis=0).any():
        return np.full((len(unit), 2), 0.5)
    width = min(50, *unit.shape)
    reduced = PCA(width, random_state=seed, svd_solver="full").fit_transform(unit)
    points = TSNE(
        init="pca" if width > 1 else "random",
        perplexity=min(PERPLEXITY, (len(unit) - 1) / 3),
        max_iter=STEPS,
        random_state=seed,
        n_jobs=1,
    ).fit_transform(reduced)
    low, high = points.min(0), points.max(0)
    scaled: npt.NDArray[np.float64] = (points - low) / np.maximum(high - low, 1e-12)
    return scaled


def telling(attributes: Sequence[Sequence[str] | None]) -> tuple[str | None, list[str]]:
    """Return the attribute that colours tell best, and each item's value of it.

    That is the one whose ten largest values cover the most items, each of them not more than half
    of the items (a value that nearly all items share tells nothing); of several values of an item
    the rarest counts, as it says most.
    """
    values: dict[str, list[list[str]]] = {}
    for place, tokens in enumerate(attributes):
        for token in tokens or ():
            name, _, value = token.partition("=")
            values.setdefault(name, [[] for _ in attributes])[place].append(value)
    best, groups, most = None, [""] * len(attributes), -1.0
    for name, owned in values.items():
        count = Counter(value for own in owned for value in set(own))
        single = [min(own, key=lambda v: (count[v], v)) if own else "" for own in owned]
        sizes = Counter(value for value in single if value)
        shares = [n / len(attributes) for _, n in sizes.most_common(len(COLOURS))]
        covered = sum(share for share in shares if share <= 0.5) if len(shares) > 1 else 0.0
        if covered > most:
            best, groups, most = name, single, covered
    return best, groups


PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Embedding map</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
 body { font: 16px/1.5 system-ui, sans-serif; margin: 1rem auto; max-width: 62rem; padding: 0 1rem;
        color: #1c2430; background: #fff }
</style>
<h1>Embedding map</h1>
{{ drawing }}</html>
"""

DRAWING = """<figure class="embedding-map" style="margin:0">
<style>
 .embedding-map svg { width: 100%; height: auto; background: #fbfcfd; border: 1px solid #d9dee6 }
 .embedding-map circle { stroke: #fff; stroke-width: .5 }
 .embedding-map circle:hover { stroke: #1c2430; stroke-width: 1.5; r: 6px }
 .embedding-map.focus circle:not(.on) { opacity: .08 }
 .embedding-map ul { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem .5rem; padding: 0;
        margin: .4rem 0 }
 .embedding-map button { font: inherit; font-size: .9rem; border: 1px solid transparent;
        background: none; cursor: pointer; border-radius: 4px; padding: .1rem .4rem;
        color: inherit }
 .embedding-map button[aria-pressed=true] { border-color: #1c2430 }
 .embedding-map i { display: inline-block; width: .7rem; height: .7rem; border-radius: 50%;
        margin-right: .35rem }
 .embedding-map figcaption { color: #5a6575; font-size: .9rem }
</style>
<ul>{% for group in legend %}
<li><button type="button" aria-pressed="false" data-group="{{ loop.index0 }}">
<i style="background:{{ group.colour }}"></i>{{ group.name }} ({{ group.count }})</button>
{%- endfor %}</ul>
<svg viewBox="0 0 {{ width }} {{ height }}" role="img" aria-label="Items, similar ones near">
{% for p in points %}<circle class="g{{ p.group }}" cx="{{ p.x }}" cy="{{ p.y }}" r="3.2"
 fill="{{ p.colour }}"><title>{{ p.title }}</title></circle>
{% endfor %}</svg>
<figcaption>The {{ points | length }} most popular items, t-SNE of the item tower's vectors
{%- if attribute %}, coloured by {{ attribute }}{% endif %}: items the model takes for alike lie
together. Distances between islands mean nothing. Point at an item for its title
{%- if legend %}; choose a group to see it alone{% endif %}.</figcaption>
<script>
 document.querySelectorAll(".embedding-map button").forEach(button => button.onclick = () => {
  const map = button.closest(".embedding-map"), on = button.getAttribute("aria-pressed") !== "true";
  map.querySelectorAll("button").forEach(b => b.setAttribute("aria-pressed", on && b === button));
  map.classList.toggle("focus", on);
  map.querySelectorAll("circle").forEach(c =>
   c.classList.toggle("on", c.classList.contains("g" + button.dataset.group)));
 });
</script>
</figure>
"""


def figure(found: Map) -> str:
    """Return the map as a piece of HTML that loads nothing from elsewhere."""
    sizes = Counter(group for group in found.groups if group)
    named = [name for name, _ in sizes.most_common(len(COLOURS))]
    place = {name: number for number, name in enumerate(named)}
    points = [
        {
            "x": round(MARGIN + x * (WIDTH - 2 * MARGIN), 1),
            "y": round(MARGIN + y * (HEIGHT - 2 * MARGIN), 1),
            "colour": COLOURS[place[group]] if group in place else OTHER,
            "group": place.get(group, len(named)),
            "title": f"{title} ({group})" if group else title,
        }
        for (x, y), title, group in zip(found.points, found.titles, found.groups, strict=True)
    ]
    legend = [
        {"name": name, "colour": COLOURS[number], "count": sizes[name]}
        for name, number in place.items()
    ]
    rest = len(found.groups) - sum(sizes[name] for name in named)
    if legend and rest:
        legend.append({"name": "other", "colour": OTHER, "count": rest})
    # The grey crowd first, so that it does not hide the coloured ones.
    points.sort(key=lambda p: p["group"] != len(named))
    return (
        Environment(autoescape=True)
        .from_string(DRAWING)
        .render(points=points, legend=legend, attribute=found.attribute, width=WIDTH, height=HEIGHT)
    )


def write(found: Map, path: Path) -> None:
    """Write the map as a page of its own."""
    from markupsafe import Markup

    page = Environment(autoescape=True).from_string(PAGE).render(drawing=Markup(figure(found)))
    path.write_text(page, "utf-8")
