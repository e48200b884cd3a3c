"""Step ``gate``: does the candidate replace the champion?"""

from kfp import dsl

from components.images import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def gate(
    config: dict,
    evaluation: dsl.Input[dsl.Artifact],
    decision: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
) -> str:
    """Return ``promote`` or ``hold``; every reason is in the summary."""
    from pathlib import Path

    from components.publish import copy_page, markdown, step
    from counterpoint.config import GateConfig
    from counterpoint.stages import gate as stage

    with step(metrics) as figures:
        result = stage.run(
            GateConfig.model_validate(config),
            evaluation=Path(evaluation.path),
            decision=Path(decision.path),
        )
        figures |= result.figures
        copy_page(Path(decision.path) / "decision.html", report.path)
        verdict = "promote" if result.promote else "hold"
        notes = [str(reason) for reason in result.reasons]
        markdown(summary.path, f"Gate: {verdict}", result.figures, notes=notes)
    return verdict
