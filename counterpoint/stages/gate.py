"""Stage ``gate``: decides from an evaluation whether the candidate replaces the champion."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from counterpoint import artifacts, tables
from counterpoint.config.evaluate import GateConfig
from counterpoint.errors import DataError
from counterpoint.gate import Decision, Reason, decide

logger = logging.getLogger(__name__)

PAGE = "decision.md"


@dataclass(frozen=True)
class GateResult:
    """The decision with every reason, passed and failed."""

    promote: bool
    reasons: tuple[Reason, ...]

    @property
    def figures(self) -> dict[str, bool | int]:
        """Key figures."""
        failed = sum(not reason.passed for reason in self.reasons)
        return {"promote": self.promote, "conditions": len(self.reasons), "failed": failed}


def run(config: GateConfig, *, evaluation: Path, decision: Path) -> GateResult:
    """Write ``decision.json`` and ``decision.md`` into the folder ``decision``.

    Raises:
        DataError: The folder ``evaluation`` holds no evaluation.
    """
    source = evaluation / artifacts.EVALUATION
    if not source.is_file():
        raise DataError(
            f"{evaluation} holds no {artifacts.EVALUATION}. Run the stage evaluate first."
        )
    decided = decide(tables.read_json(source), config)
    decision.mkdir(parents=True, exist_ok=True)
    (decision / PAGE).write_text(markdown(decided), "utf-8")
    tables.write_json(
        decision / artifacts.DECISION,
        {
            "promote": decided.promote,
            "reasons": [asdict(reason) for reason in decided.reasons],
            "config": config.model_dump(mode="json"),
        },
    )
    logger.info("Gate: %s", "promote" if decided.promote else "hold")
    return GateResult(decided.promote, decided.reasons)


def markdown(decision: Decision) -> str:
    """The decision as a page for people."""
    rows = [
        f"| {'passed' if r.passed else '**failed**'} | {r.condition} | {r.detail} |"
        for r in decision.reasons
    ]
    verdict = "Promote the candidate" if decision.promote else "Hold the candidate"
    return "\n".join(
        [f"# {verdict}", "", "| | condition | figures |", "| --- | --- | --- |", *rows, ""]
    )
