"""Step ``gate``: does the candidate replace the champion?"""

from kfp import dsl

from components.images import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def gate(
    config: dict,
    evaluation: dsl.Input[dsl.Artifact],
    decision: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
) -> str:
    """Return ``promote`` or ``hold``; every reason is in the summary."""
    from pathlib import Path

    from components.publish import markdown, step
    from counterpoint.config import GateConfig
    from counterpoint.stages import gate as stage

    with step(metrics) as figures:
        result = stage.run(
            GateConfig.model_validate(config),
            evaluation=Path(evaluation.path),
            decision=Path(decision.path),
        )
        figures |= result.figures
        verdict = "promote" if result.promote else "hold"
        notes = [f"{reason.condition}: {reason.detail}" for reason in result.reasons]
        markdown(summary.path, f"Gate: {verdict}", result.figures, notes=notes)
    return verdict
