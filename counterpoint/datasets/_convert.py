"""Source columns of any type -> canonical ids, numbers, instants and tokens, as polars expressions.

A conversion gives the value and the fault: a null fault means the value could be read.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from counterpoint import columns
from counterpoint.attributes import labels
from counterpoint.datasets._files import RawTable

SAMPLE_ROWS = 10_000
US_PER = {"s": 1_000_000, "ms": 1_000, "us": 1}
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
PLAUSIBLE = (631_152_000, 4_102_444_800)
"""Seconds of 1990-01-01 and 2100-01-01: where events of a data set usually lie."""
MAX_US = 9.2e18
WHOLE = r"^-?\d+(\.0+)?$"
DECIMALS = r"\.0+$"
COMPACT_DATE = r"^(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$"


@dataclass(frozen=True)
class Converted:
    """A value and, where it could not be read, the reason.

    Attributes:
        value: Null where nothing is given or it could not be read.
        fault: Text, null where the value is fine or absent.
    """

    value: pl.Expr
    fault: pl.Expr


class Reader:
    """Expressions over the columns of one raw table."""

    def __init__(self, raw: RawTable, null_values: Sequence[str]) -> None:
        self.raw = raw
        self.null_values = list(null_values)
        self.schema = raw.rows.collect_schema()

    def text(self, column: str) -> pl.Expr:
        """Trimmed text; empty is null."""
        kind = self.schema[column]
        source = pl.col(column)
        if isinstance(kind, pl.List):
            source = source.cast(pl.List(pl.String)).list.join(" ")
        elif isinstance(kind, pl.Struct):
            source = source.struct.json_encode()
        elif self.raw.json:
            parts = source.str.json_decode(pl.List(pl.String)).list.join(" ")
            source = pl.when(source.str.starts_with("[")).then(parts).otherwise(source)
        trimmed = source.cast(pl.String).str.strip_chars()
        return pl.when(trimmed != "").then(trimmed)

    def _known(self, column: str) -> pl.Expr:
        text = self.text(column)
        return pl.when(~text.is_in(self.null_values)).then(text)

    def identifier(self, column: str) -> pl.Expr:
        """Text id; ``12.0`` becomes ``12`` if all ids of the column are whole numbers.

        That is how whole numbers come out of a column with gaps in pandas and in spreadsheets.
        """
        text = self._known(column)
        whole = (
            self.raw.rows.select(text.str.contains(WHOLE).all())
            .collect(engine="streaming")
            .item()
        )  # fmt: skip
        return text.str.replace(DECIMALS, "") if whole else text

    def number(self, column: str) -> Converted:
        """Float64."""
        text = self._known(column)
        value = text.cast(pl.Float64, strict=False)
        return Converted(value, _unless(text, value, column, "is not a number"))

    def instant(self, column: str, form: str) -> Converted:
        """UTC instant in microseconds.

        Args:
            column: Source column of text, numbers, dates or datetimes.
            form: ``auto``, ``s``, ``ms``, ``us``, ``ns``, ``iso`` or a strptime format. With
                ``auto``, a number that only makes sense in another unit than most is a fault.
        """
        kind = self.schema[column]
        if isinstance(kind, pl.Datetime | pl.Date):
            stamps = pl.col(column).cast(pl.Datetime("us", getattr(kind, "time_zone", None)))
            utc = stamps.dt.convert_time_zone("UTC") if getattr(kind, "time_zone", None) else (
                stamps.dt.replace_time_zone("UTC")
            )  # fmt: skip
            return Converted(utc, pl.lit(None, dtype=pl.String))
        text = self._known(column)
        found = form == "auto"
        if found:
            form = self._detect(text)
        if form in ("s", "ms", "us", "ns"):
            value = _from_number(text, form)
        elif form == "iso":
            value = _from_iso(text)
        else:
            value = _from_format(text, form)
        said = {"iso": "ISO 8601 text"}.get(form, f"a number of {form}" if len(form) < 3 else form)
        fault = _unless(text, value, column, f"cannot be read as {said}")
        if found and form in PER_SECOND:
            fault = pl.coalesce(fault, _other_unit(text, form, column))
        return Converted(value, fault)

    def _detect(self, text: pl.Expr) -> str:
        """Form of the first rows: the unit by the size of the median number, else ISO 8601."""
        sample = (
            self.raw.rows.select(text.alias("t"))
            .drop_nulls()
            .head(SAMPLE_ROWS)
            .collect(engine="streaming")["t"]
        )
        numbers = sample.cast(pl.Float64, strict=False).drop_nulls()
        if 2 * len(numbers) < len(sample):
            return "iso"
        if len(sample) and sample.str.contains(COMPACT_DATE).all():
            return "%Y%m%d"
        size = abs(float(numbers.median() or 0))  # type: ignore[arg-type]  # a column of floats
        return next((u for u, top in (("s", 1e11), ("ms", 1e14), ("us", 1e17)) if size < top), "ns")

    def tokens(
        self, name: str, column: str, *, separator: str | None, bins: Sequence[float] | None
    ) -> Converted:
        """List of ``name=value`` tokens; empty where nothing is given.

        Equal to ``attributes.normalise`` on the raw values (tested).
        """
        kind = self.schema[column]
        if isinstance(kind, pl.List):
            values = pl.col(column).cast(pl.List(pl.String))
        else:
            text = self._known(column)
            values = text.str.split(separator) if separator else _one(text)
            if self.raw.json:
                nested = pl.col(column).str.json_decode(pl.List(pl.String))
                values = pl.when(pl.col(column).str.starts_with("[")).then(nested).otherwise(values)
        values = values.list.eval(pl.element().str.strip_chars())
        values = values.list.eval(pl.element().filter(pl.element() != ""))
        fault = pl.lit(None, dtype=pl.String)
        if bins:
            wrong = values.list.eval(pl.element().filter(_binned(bins).is_null())).list.first()
            fault = pl.when(wrong.is_not_null()).then(
                pl.format("{} '{}' is not a finite number", pl.lit(name), wrong)
            )
            values = values.list.eval(_binned(bins))
        tokens = values.list.eval(f"{name}=" + pl.element()).list.unique(maintain_order=True)
        return Converted(tokens.fill_null([]), fault)


def _binned(bins: Sequence[float]) -> pl.Expr:
    """Label of an element's bin; null where it is neither a finite number nor a label."""
    number = pl.element().cast(pl.Float64, strict=False)
    names = labels(bins)
    label = pl.lit(names[0])
    for edge, name in zip(bins, names[1:], strict=True):
        label = pl.when(number >= edge).then(pl.lit(name)).otherwise(label)
    by_number = pl.when(number.is_finite()).then(label)
    return pl.when(pl.element().is_in(names)).then(pl.element()).otherwise(by_number)


def _one(text: pl.Expr) -> pl.Expr:
    return pl.when(text.is_not_null()).then(pl.concat_list(text))


def _unless(text: pl.Expr, value: pl.Expr, column: str, complaint: str) -> pl.Expr:
    return pl.when(text.is_not_null() & value.is_null()).then(
        pl.format(f"{re.sub('[{}]', '', column)} '{{}}' {complaint}", text)
    )


def _from_number(text: pl.Expr, unit: str) -> pl.Expr:
    """Whole numbers exactly, where a float would round large ones; others rounded."""
    whole = text.cast(pl.Int64, strict=False)
    number = text.cast(pl.Float64, strict=False)
    factor = US_PER.get(unit, 1e-3)
    exact = whole // 1000 if unit == "ns" else whole * int(factor)
    fits = (number * factor).abs() < MAX_US
    us = pl.coalesce(exact, (number * factor).round().cast(pl.Int64, strict=False))
    return pl.when(fits).then(us).cast(columns.INSTANT)


def _other_unit(text: pl.Expr, unit: str, column: str) -> pl.Expr:
    """Fault of a number that is a likely instant in another unit than the column's, not in it."""
    number = text.cast(pl.Float64, strict=False)
    likely = {name: (number / per).is_between(*PLAUSIBLE) for name, per in PER_SECOND.items()}
    fault = pl.lit(None, dtype=pl.String)
    label = re.sub("[{}]", "", column)
    for name in (other for other in PER_SECOND if other != unit):
        said = f"{label} '{{}}' is a number of {name} in a column of {unit}"
        seen = pl.when(likely[name] & ~likely[unit]).then(pl.format(said, text))
        fault = pl.coalesce(fault, seen)
    return fault


def _from_iso(text: pl.Expr) -> pl.Expr:
    tidy = text.str.replace(r"^(\d{4})[-/](\d\d)[-/](\d\d)[Tt ]", "$1-$2-$3 ")
    tidy = tidy.str.replace(r"^(\d{4})/(\d\d)/(\d\d)$", "$1-$2-$3")
    tidy = tidy.str.replace(r"\s*([Zz]|UTC|GMT)$", "+00:00")
    forms = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"]
    zoned = [_zoned(tidy, f"{form}%#z") for form in forms]
    plain = [_plain(tidy, form) for form in forms]
    return pl.coalesce(*zoned, *plain, _day(tidy, "%Y-%m-%d"))


def _from_format(text: pl.Expr, form: str) -> pl.Expr:
    if "z" in form:
        return _zoned(text, form)
    hours = any(part in form for part in ("%H", "%I", "%k", "%l", "%T", "%R", "%s", "%c", "%X"))
    return _plain(text, form) if hours else _day(text, form)


def _zoned(text: pl.Expr, form: str) -> pl.Expr:
    return text.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False)


def _plain(text: pl.Expr, form: str) -> pl.Expr:
    stamps = text.str.to_datetime(form, time_unit="us", strict=False)
    return stamps.dt.replace_time_zone("UTC")


def _day(text: pl.Expr, form: str) -> pl.Expr:
    return text.str.to_date(form, strict=False).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
