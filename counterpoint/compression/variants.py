"""Names of compressed forms: methods joined by ``+``, such as ``layers:4+vocabulary+int8``."""

from dataclasses import dataclass

UNCOMPRESSED = "fp32"
"""What is served where no variant is accepted."""

PRECISIONS = ("fp16", "int8", "int8_blocks")

SYNTAX = (
    "Allowed: methods joined by '+', each at most once: layers:4 (the lowest four), layers:1,2,5,6 "
    f"(these), vocabulary, and one of {', '.join(PRECISIONS)}. Example: vocabulary+int8_blocks."
)


@dataclass(frozen=True)
class Variant:
    """One compressed form.

    Attributes:
        name: In normal form: layers, then vocabulary, then precision.
        layers: Encoder layers that stay, one-based and ascending; empty: all.
        vocabulary: Whether tokens that the catalogue does not need are dropped.
        precision: One of PRECISIONS; None: float32.
    """

    name: str
    layers: tuple[int, ...] = ()
    vocabulary: bool = False
    precision: str | None = None


def parse(text: str) -> Variant:
    """Read a variant's name.

    Raises:
        ValueError: Says what is wrong and what is allowed.
    """
    layers: tuple[int, ...] = ()
    vocabulary, precision = False, None
    found: dict[str, str] = {}
    for part in text.replace(" ", "").split("+"):
        method, separator, value = part.partition(":")
        kind = "precision" if method in PRECISIONS else method
        if kind not in {"layers", "vocabulary", "precision"} or bool(separator) != (
            kind == "layers"
        ):
            raise ValueError(f"{text!r}: {part!r} is no method. {SYNTAX}")
        if kind in found:
            raise ValueError(f"{text!r}: {part!r} beside {found[kind]!r}. {SYNTAX}")
        found[kind] = part
        if kind == "layers":
            layers = _layers(text, value)
        elif kind == "vocabulary":
            vocabulary = True
        else:
            precision = method
    order = [found[kind] for kind in ("layers", "vocabulary", "precision") if kind in found]
    return Variant("+".join(order), layers, vocabulary, precision)


def _layers(text: str, value: str) -> tuple[int, ...]:
    numbers = value.split(",")
    if not all(number.isdecimal() and int(number) > 0 for number in numbers):
        raise ValueError(f"{text!r}: layers {value!r} are not whole numbers from 1. {SYNTAX}")
    chosen = [int(number) for number in numbers]
    if len(chosen) == 1:
        return tuple(range(1, chosen[0] + 1))
    if sorted(set(chosen)) != chosen:
        raise ValueError(f"{text!r}: layers {value!r} must be ascending and distinct. {SYNTAX}")
    return tuple(chosen)
