"""The results of the encoder's benchmark as a Markdown page."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

Found = Mapping[str, Any]


def markdown(found: Found) -> str:
    """Return the page of whatever parts were measured."""
    parts: dict[str, Callable[[Found], Iterator[str]]] = {
        "cold": partial(_cold, "New items"),
        "pretraining": partial(_cold, "New items, with masked training on histories first"),
        "precision": partial(_cold, "New items, encoded in bfloat16"),
        "sparse": _sparse,
        "objectives": _objectives,
        "speed": _speed,
        "encode": _encode,
    }
    lines = ["# Training the text encoder", ""]
    lines.append(
        "all-MiniLM-L6-v2 on MovieLens-100K (titles, genres, years). Each part names its command; "
        "all were run on one thread of a shared 2-core machine, so times are CPU seconds."
    )
    for name, write in parts.items():
        if name in found:
            lines += ["", *write(found[name])]
            seeded = name not in ("speed", "encode")
            seeds = f" --seeds {' '.join(map(str, found[name]['seeds']))}" if seeded else ""
            command = f"`python -m benchmarks.encoder --only {name}{seeds}`"
            lines += ["", f"{command}, {found[name]['when']}"]
    return "\n".join([*lines, ""])


def _cold(title: str, found: Found) -> Iterator[str]:
    splits = range(len(next(iter(found["splits"].values()))))
    yield f"## {title}"
    yield ""
    yield (
        f"NDCG@10 of the whole recommender among the 10% of items withheld from the fit, training "
        f"seeds {_list(found['seeds'])}."
    )
    if any(found["why"]):
        yield (
            "The encoder sees the train fold only and is used where it ranks items that it did not "
            "learn from clearly better than before (two standard errors)."
        )
    yield ""
    yield f"| encoder | {' | '.join(f'split {n}' for n in splits)} | mean | CPU s | peak MB |"
    yield f"| --- | {' | '.join('---:' for _ in splits)} | ---: | ---: | ---: |"
    for name in found["arms"]:
        shown = " | ".join(f"{value:.4f}" for value in found["splits"][name])
        yield (
            f"| {name} | {shown} | {found['means'][name]:.4f} | {found['cpu_seconds'][name]:.0f} | "
            f"{found['peak_mb'][name]:.0f} |"
        )
    yield ""
    gain = _gain(found["difference"])
    first, second = found["arms"]
    yield f"{second.capitalize()} minus {first}, paired over the users of all splits: {gain}."
    if any(found["why"]):
        yield ""
        yield from (f"- {why}" for why in found["why"] if why)


def _sparse(found: Found) -> Iterator[str]:
    lengths = list(next(iter(found["means"].values())))
    yield "## Users of whom little is known"
    yield ""
    yield (
        "NDCG@10 on the last 10% of each user's events; the model is shown only the last positives "
        f"of each history. Training seeds {_list(found['seeds'])}; differences to no text, paired."
    )
    yield ""
    yield f"| text | {' | '.join(f'last {n}' for n in lengths)} |"
    yield f"| --- | {' | '.join('---' for _ in lengths)} |"
    for name, values in found["means"].items():
        rows = found["differences"].get(name, {})
        cells = [
            f"{values[n]:.4f}" + (f" ({_gain(rows[n])})" if n in rows else "") for n in lengths
        ]
        yield f"| {name} | {' | '.join(cells)} |"


def _objectives(found: Found) -> Iterator[str]:
    yield "## Each loss alone"
    yield ""
    yield (
        "NDCG@10 of a tenth of the items, withheld and ranked by a ridge regression on the vectors "
        f"of the others (what training stops by), seeds {_list(found['seeds'])}, which also draw "
        "the items. Best look of at most 60 steps."
    )
    yield ""
    yield f"| loss | {' | '.join(f'seed {n}' for n in found['seeds'])} | gain | CPU s |"
    yield f"| --- | {' | '.join('---:' for _ in found['seeds'])} | ---: | ---: |"
    first = next(iter(found["rows"].values()))
    shown = " | ".join(f"{row['frozen_ndcg@10']:.4f}" for row in first)
    yield f"| none: the encoder as it is | {shown} | | |"
    for name, rows in found["rows"].items():
        shown = " | ".join(f"{row['tuned_ndcg@10']:.4f}" for row in rows)
        gain = sum(row["difference"] for row in rows) / len(rows)
        seconds = sum(row["cpu_seconds"] for row in rows) / len(rows)
        yield f"| {name} | {shown} | {gain:+.4f} | {seconds:.0f} |"


def _speed(found: Found) -> Iterator[str]:
    yield "## Training pairs per second"
    yield ""
    yield (
        "The last 2 of 6 blocks learn, InfoNCE at temperature 0.05, float32, the same pairs in the "
        "same order. Beside it CachedMultipleNegativesRankingLoss of sentence-transformers "
        f"{found['version']} (mini-batches of 64). Preparation: the frozen blocks over all texts, "
        "once a run. NDCG@10: the withheld items after the same steps."
    )
    yield ""
    yield "| pairs a step | side | steps | CPU s | pairs/s | preparation s | peak MB | NDCG@10 |"
    yield "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for row in found["rows"]:
        for side in ("ours", "theirs"):
            one = row[side]
            ndcg = "–" if one["ndcg"] is None else f"{one['ndcg']:.4f}"
            yield (
                f"| {row['batch_size']} | {side} | {row['steps']} | {one['seconds']:.1f} | "
                f"{one['pairs'] / one['seconds']:.1f} | {one['prepare_seconds']:.1f} | "
                f"{one['peak_mb']:.0f} | {ndcg} |"
            )
        yield (
            f"| {row['batch_size']} | **ratio** | | | **{row['ratio']:.1f}** "
            f"({row['ratio_prepared']:.1f} with preparation) | | | |"
        )


def _encode(found: Found) -> Iterator[str]:
    yield "## Texts encoded per second"
    yield ""
    yield (
        f"{found['texts']} item texts, one thread, medians of {found['repeats']} turns; "
        f"SentenceTransformer.encode of {found['version']}."
    )
    yield ""
    yield "| | texts per CPU s | ratio | largest difference of a number |"
    yield "| --- | ---: | ---: | ---: |"
    for name, one in found["rows"].items():
        yield (
            f"| {name} | {one['per_second']:.0f} | {one['ratio']:.2f} | {one['difference']:.1e} |"
        )


def _gain(row: Mapping[str, Any]) -> str:
    return f"{row['mean']:+.4f}, 95% [{row['low']:+.4f}, {row['high']:+.4f}]"


def _list(values: list[int]) -> str:
    return ", ".join(map(str, values))
