"""What a drift signal is: its size, its p-value and the size that matters."""

from collections.abc import Mapping
from dataclasses import dataclass, field

QUALITY = "quality"


@dataclass(frozen=True)
class Bin:
    """Share of one bin on both sides."""

    name: str
    reference: float
    current: float


@dataclass(frozen=True)
class Signal:
    """One measured difference between the window and the reference.

    Attributes:
        name: ``items``, ``item_text``, ``quality`` …
        statistic: What ``effect`` is.
        effect: Size of the difference.
        threshold: Size from which it matters: the setting, or the reference's usual size if larger.
        usual: Size that slices of the reference usually have among themselves.
        p_value: Chance of such a size without drift; none if not tested.
        p_adjusted: The same after Holm's correction over all counted signals.
        counted: Whether it takes part in the decision.
        drifted: Counted, significant and large enough.
        reference: Key figure of the reference, such as a mean or a share.
        current: The same of the window.
        bins: Shares of both sides, largest change first.
    """

    name: str
    statistic: str
    effect: float
    threshold: float
    usual: float = 0.0
    p_value: float | None = None
    p_adjusted: float | None = None
    counted: bool = True
    drifted: bool = False
    reference: float | None = None
    current: float | None = None
    bins: tuple[Bin, ...] = ()

    @property
    def reason(self) -> str:
        """One sentence for the verdict."""
        size = f"{self.name}: {self.statistic} {self.effect:.3g} (matters from {self.threshold:.3g}"
        p = "" if self.p_adjusted is None else f", adjusted p {self.p_adjusted:.2g}"
        figures = (
            f"; {self.reference:.3g} → {self.current:.3g}"
            if self.reference is not None and self.current is not None
            else ""
        )
        changes = ", ".join(f"{b.name} {b.reference:.1%} → {b.current:.1%}" for b in self.bins[:3])
        return f"{size}{p}){figures}" + (f"; {changes}" if changes else "")


@dataclass(frozen=True)
class Measurement:
    """All signals of a window.

    Attributes:
        signals: In the order of the report.
        not_measured: Name of a signal -> why it could not be measured.
    """

    signals: tuple[Signal, ...]
    not_measured: Mapping[str, str] = field(default_factory=dict)

    @property
    def drifted(self) -> list[Signal]:
        """Signals that count against the window."""
        return [signal for signal in self.signals if signal.drifted]
