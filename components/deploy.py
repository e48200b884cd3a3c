"""Step ``deploy``: publish the version, try it in a scratch server, make it the champion."""

from kfp import dsl

from components.images import image


@dsl.component(base_image=image("serve"), install_kfp_package=False)
def deploy(
    config: dict,
    onnx: dsl.Input[dsl.Model],
    features: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    decision: dsl.Input[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
) -> str:
    """Return the id of the deployed version."""
    from pathlib import Path

    from components.publish import markdown, step
    from components.release import release
    from counterpoint.config import DeployConfig

    with step(metrics) as figures:
        result = release(
            DeployConfig.model_validate(config),
            onnx=Path(onnx.path),
            model=Path(model.path),
            evaluation=Path(evaluation.path),
            features=Path(features.path),
            decision=Path(decision.path),
        )
        figures |= result.figures
        markdown(summary.path, "Deploy", result.figures)
    return result.version
