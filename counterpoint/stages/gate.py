"""Stage ``gate``: decides from an evaluation whether the candidate replaces the champion."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from counterpoint import artifacts, decision_report, tables
from counterpoint.config.evaluate import GateConfig
from counterpoint.errors import DataError
from counterpoint.gate import Reason, decide

logger = logging.getLogger(__name__)

MARKDOWN = "decision.md"


@dataclass(frozen=True)
class GateResult:
    """The decision with every reason, passed and failed."""

    promote: bool
    reasons: tuple[Reason, ...]

    @property
    def figures(self) -> dict[str, bool | int]:
        """Key figures."""
        return {
            "promote": self.promote,
            "conditions": len(self.reasons),
            "failed": sum(not reason.passed for reason in self.reasons),
            "not_judged": sum(not reason.judged for reason in self.reasons),
        }


def run(config: GateConfig, *, evaluation: Path, decision: Path) -> GateResult:
    """Write ``decision.json``, ``decision.html`` and ``decision.md`` into the folder ``decision``.

    Raises:
        DataError: The folder ``evaluation`` holds no evaluation.
    """
    source = evaluation / artifacts.EVALUATION
    if not source.is_file():
        raise DataError(
            f"{evaluation} holds no {artifacts.EVALUATION}. Run the stage evaluate first."
        )
    content = tables.read_json(source)
    decided = decide(content, config)
    settings = config.model_dump(mode="json")
    decision.mkdir(parents=True, exist_ok=True)
    (decision / MARKDOWN).write_text(decision_report.markdown(decided), "utf-8")
    (decision / artifacts.DECISION_PAGE).write_text(
        decision_report.page(decided, content, settings), "utf-8"
    )
    tables.write_json(
        decision / artifacts.DECISION,
        {
            "promote": decided.promote,
            "summary": decision_report.summary(decided),
            "reasons": [asdict(reason) | {"status": reason.status} for reason in decided.reasons],
            "config": settings,
        },
    )
    logger.info("Gate: %s", "promote" if decided.promote else "hold")
    return GateResult(decided.promote, decided.reasons)
