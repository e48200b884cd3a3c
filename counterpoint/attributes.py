"""Attributes of users and items as ``name=value`` tokens, binned the same way everywhere.

Ingest makes the tokens of the training data, serving those of a request; both follow one spec, so
``age=27`` of a request and the age column of a file end in the same token ``age=25-34``. Only the
standard library is imported: the Triton front model runs this module in a small environment.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TypedDict


class AttributeSpec(TypedDict, total=False):
    """How the raw values of one attribute become tokens.

    Attributes:
        separator: A raw value holds several values, divided by this text.
        bins: Increasing lower edges; numbers are replaced by the label of their bin.
    """

    separator: str
    bins: list[float]


Spec = Mapping[str, AttributeSpec]
"""Attribute name -> its spec, for one table; stored in ``dataset.json`` and ``contract.json``."""


def labels(bins: Sequence[float]) -> list[str]:
    """Return the ``len(bins) + 1`` labels of the half-open bins ``[edge, next edge)``.

    Between whole edges the label names the last whole number inside: ``25-34`` for [25, 35).

    Example:
        >>> labels([18, 25, 35])
        ['<18', '18-24', '25-34', '35+']
    """
    inner = [_inner(low, high) for low, high in pairwise(bins)]
    return [f"<{_plain(bins[0])}", *inner, f"{_plain(bins[-1])}+"]


def _inner(low: float, high: float) -> str:
    if float(low).is_integer() and float(high).is_integer():
        return _plain(low) if high - low == 1 else f"{_plain(low)}-{_plain(high - 1)}"
    return f"{_plain(low)}-<{_plain(high)}"


def _plain(edge: float) -> str:
    return str(int(edge)) if float(edge).is_integer() else str(edge)


def bin_label(value: float, bins: Sequence[float]) -> str:
    """Return the label of the bin that holds ``value``.

    Raises:
        ValueError: The value is not finite.
    """
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a finite number and lies in no bin.")
    return labels(bins)[bisect_right(bins, value)]


def normalise(tokens: Iterable[str], spec: Spec) -> list[str]:
    """Turn raw ``name=value`` tokens into the tokens of the training data.

    Values are trimmed, split at the separator and binned as the spec says. Tokens that already
    carry a bin's label, and names outside the spec, stay as they are. Order is kept, repetitions
    and empty values are dropped.

    Raises:
        ValueError: Lists every token without ``=`` and every binned value that is no number.
    """
    faults: list[str] = []
    result: dict[str, None] = {}
    for token in tokens:
        name, equals, raw = (part.strip() for part in token.partition("="))
        if not equals or not name:
            faults.append(f"{token!r} is not of the form name=value")
            continue
        rule = spec.get(name, {})
        separator = rule.get("separator")
        for value in raw.split(separator) if separator else [raw]:
            try:
                label = _value(value.strip(), rule.get("bins"))
            except ValueError:
                faults.append(
                    f"{name}={value.strip()!r} is not a finite number "
                    f"nor one of {', '.join(labels(rule['bins']))}"
                )
                continue
            if label:
                result[f"{name}={label}"] = None
    if faults:
        raise ValueError("; ".join(faults) + ".")
    return list(result)


def _value(value: str, bins: Sequence[float] | None) -> str:
    if not bins or not value or value in labels(bins):
        return value
    return bin_label(float(value), bins)
