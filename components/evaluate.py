"""Step ``evaluate``: candidate, baselines and champion on the same test users."""

from kfp import dsl

from components.images import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def evaluate(
    config: dict,
    deploy_config: dict,
    features: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    clicks: dsl.Output[dsl.ClassificationMetrics],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
) -> None:
    """Measure on the test fold with paired confidence intervals."""
    from pathlib import Path

    from components.champion import champion_folder
    from components.publish import copy_page, log_classification, markdown, step
    from counterpoint.config import DeployConfig, EvaluateConfig
    from counterpoint.stages import evaluate as stage

    with step(metrics) as figures:
        with champion_folder(DeployConfig.model_validate(deploy_config)) as champion:
            result = stage.run(
                EvaluateConfig.model_validate(config),
                features=Path(features.path),
                model=Path(model.path),
                evaluation=Path(evaluation.path),
                champion=champion / "model" if champion else None,
            )
        figures |= result.figures
        log_classification(clicks, result.classification)
        copy_page(Path(evaluation.path) / "report.html", report.path)
        markdown(summary.path, "Evaluation", result.figures, notes=result.notes)
