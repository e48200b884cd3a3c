"""The Evidently report: distributions of events, text components, scores and realised quality.

Evidently draws; it does not decide. Its column tests take every event as independent, and its
embedding metric runs t-SNE whatever the method, so embeddings are shown by their leading principal
components.
"""

import numpy as np
import numpy.typing as npt
import polars as pl

from counterpoint import columns
from counterpoint.monitoring.observations import NEW_ITEM, NEW_USER, UNIT, Observations
from counterpoint.monitoring.quality import MEAN_SCORE, N_HISTORY, N_TARGETS, NDCG
from counterpoint.monitoring.reference import N_EVENTS, VECTOR

COMPONENTS = 3
CATEGORIES = 20
"""Rarer values of an attribute are shown as one."""


def pages(
    observed: Observations,
    items: pl.DataFrame,
    quality: tuple[pl.DataFrame, pl.DataFrame] | None,
    *,
    rows: int,
    threshold: float,
    seed: int,
) -> dict[str, str]:
    """Return title -> HTML page; the pages load nothing from elsewhere.

    Args:
        observed: Events of both sides.
        items: item, events (in the reference), attributes, vector (optional).
        quality: Per-user tables of the reference and the window (``quality.realised``).
        rows: Events sampled of each side.
        threshold: Population stability index that Evidently marks as drift.
        seed: Of the sample.
    """
    before, now = (
        _events(observed, side, items, rows=rows, seed=seed)
        for side in (~observed.units.current, observed.units.current)
    )
    found = {"Events": _drift(before, now, threshold)}
    if quality is not None:
        names = [NDCG, MEAN_SCORE, N_TARGETS, N_HISTORY]
        old, new = (side.select(pl.col(names).cast(pl.Float64)) for side in quality)
        found["Scores and realised quality, one row a user"] = _drift(old, new, threshold)
    return found


def _drift(before: pl.DataFrame, now: pl.DataFrame, threshold: float) -> str:
    # Evidently takes seconds to import, and a run without its report does not need it.
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    numeric = [name for name, dtype in before.schema.items() if dtype == pl.Float64]
    definition = DataDefinition(
        numerical_columns=numeric,
        categorical_columns=[name for name in before.columns if name not in numeric],
    )
    current, reference = (
        Dataset.from_pandas(side.to_pandas(), data_definition=definition) for side in (now, before)
    )
    report = Report([DataDriftPreset(method="psi", threshold=threshold)])
    return str(report.run(current, reference).get_html_str(as_iframe=False))


def _events(
    observed: Observations,
    side: npt.NDArray[np.bool_],
    items: pl.DataFrame,
    *,
    rows: int,
    seed: int,
) -> pl.DataFrame:
    """A sample of one side's events with what is known about their items."""
    chosen = pl.Series(UNIT, np.flatnonzero(side)).cast(observed.events[UNIT].dtype)
    events = observed.events.filter(pl.col(UNIT).is_in(chosen.implode()))
    events = events.sample(min(rows, len(events)), seed=seed)
    stamps = pl.col(columns.TIMESTAMP).dt
    frame = events.join(_item_facts(items), on=columns.ITEM, how="left").select(
        pl.col(columns.EVENT).fill_null("missing"),
        pl.col(columns.VALUE),
        pl.col(columns.POSITIVE, NEW_USER, NEW_ITEM).cast(pl.String),
        (1 + pl.col(N_EVENTS).fill_null(0)).log(10).alias("log10 events of the item"),
        stamps.hour().cast(pl.Float64).alias("hour (UTC)"),
        stamps.strftime("%u %a").alias("weekday"),
        pl.col("^item .*$").fill_null("missing"),
        pl.col("^text component .*$"),
    )
    return frame.select(column for column in frame if column.drop_nulls().len())


def _item_facts(items: pl.DataFrame) -> pl.DataFrame:
    """Item, events, first token of each attribute name, leading components of the text vector."""
    tokens = items.select(columns.ITEM, columns.ATTRIBUTES).explode(columns.ATTRIBUTES)
    parts = pl.col(columns.ATTRIBUTES).str.splitn("=", 2).struct
    first = (
        tokens.drop_nulls()
        .select(
            columns.ITEM,
            ("item " + parts.field("field_0")).alias("name"),
            parts.field("field_1").alias("value"),
        )
        .group_by("name", columns.ITEM, maintain_order=True)
        .first()
    )
    facts = items.select(columns.ITEM, N_EVENTS)
    for (name,), group in sorted(first.partition_by("name", as_dict=True).items()):
        frequent = group["value"].value_counts(sort=True).head(CATEGORIES)["value"]
        kept = pl.when(pl.col("value").is_in(frequent.implode())).then("value")
        shown = group.select(columns.ITEM, kept.otherwise(pl.lit("other")).alias(str(name)))
        facts = facts.join(shown, on=columns.ITEM, how="left")
    if VECTOR not in items.columns or items[VECTOR].drop_nulls().is_empty():
        return facts
    known = items.drop_nulls(VECTOR)
    vectors = np.stack(known[VECTOR].to_list()).astype(np.float64)
    centred = vectors - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    leading = centred @ axes[:, ::-1][:, :COMPONENTS]
    components = pl.DataFrame(
        {columns.ITEM: known[columns.ITEM]}
        | {f"text component {i + 1}": leading[:, i] for i in range(leading.shape[1])}
    )
    return facts.join(components, on=columns.ITEM, how="left")
