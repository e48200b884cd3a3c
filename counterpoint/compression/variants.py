"""Names of compressed forms: methods joined by ``+``, such as ``layers:4+vocabulary+int8``."""

from dataclasses import dataclass

UNCOMPRESSED = "fp32"
"""What is served where no variant is accepted."""

PRECISIONS = ("fp16", "int8", "int8_blocks")

SYNTAX = (
    "Allowed: methods joined by '+', each at most once: layers:4 (the lowest four), layers:1,2,5,6 "
    "(these), vocabulary (the catalogue's tokens) or vocabulary:16000 (and the commonest, up to so "
    f"many), and one of {', '.join(PRECISIONS)}. Example: vocabulary:16000+int8_blocks."
)


@dataclass(frozen=True)
class Variant:
    """One compressed form.

    Attributes:
        name: In normal form: layers, then vocabulary, then precision.
        layers: Encoder layers that stay, one-based and ascending; empty: all.
        vocabulary: Whether tokens that the catalogue does not need are dropped.
        common: Tokens that stay at least, filled up with the first of the vocabulary.
        precision: One of PRECISIONS; None: float32.
    """

    name: str
    layers: tuple[int, ...] = ()
    vocabulary: bool = False
    common: int = 0
    precision: str | None = None


def parse(text: str) -> Variant:
    """Read a variant's name.

    Raises:
        ValueError: Says what is wrong and what is allowed.
    """
    layers: tuple[int, ...] = ()
    vocabulary, common, precision = False, 0, None
    found: dict[str, str] = {}
    for part in text.replace(" ", "").split("+"):
        method, separator, value = part.partition(":")
        kind = "precision" if method in PRECISIONS else method
        known = kind in {"layers", "vocabulary", "precision"}
        if not known or (separator and kind == "precision") or (not separator and kind == "layers"):
            raise ValueError(f"{text!r}: {part!r} is no method. {SYNTAX}")
        if kind in found:
            raise ValueError(f"{text!r}: {part!r} beside {found[kind]!r}. {SYNTAX}")
        found[kind] = part
        if kind == "layers":
            layers = _layers(text, value)
        elif kind == "vocabulary":
            vocabulary = True
            if separator and not (value.isdecimal() and int(value)):
                raise ValueError(f"{text!r}: {value!r} is no whole number from 1. {SYNTAX}")
            common = int(value or 0)
        else:
            precision = method
    order = [found[kind] for kind in ("layers", "vocabulary", "precision") if kind in found]
    return Variant("+".join(order), layers, vocabulary, common, precision)


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
