"""Step ``monitor``: have the events drifted from what the champion was trained on?"""

from kfp import dsl

from components.images import image


@dsl.component(base_image=image("monitor"), install_kfp_package=False)
def monitor(
    config: dict,
    deploy_config: dict,
    validated: dsl.Input[dsl.Dataset],
    monitoring: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
) -> str:
    """Return ``ok``, ``drift``, ``retrain`` or ``insufficient_data``."""
    from pathlib import Path

    from components.champion import champion_folder, need_champion
    from components.publish import copy_page, markdown, step
    from counterpoint.config import DeployConfig, MonitorConfig
    from counterpoint.stages import monitor as stage

    with step(metrics) as figures:
        with champion_folder(DeployConfig.model_validate(deploy_config)) as found:
            champion = need_champion(found)
            result = stage.run(
                MonitorConfig.model_validate(config),
                interactions=Path(validated.path),
                reference=champion / "reference",
                model=champion / "model",
                monitoring=Path(monitoring.path),
            )
        figures |= result.figures
        copy_page(Path(monitoring.path) / "report.html", report.path)
        title = f"Monitoring: {result.verdict}"
        markdown(summary.path, title, result.figures, notes=result.reasons)
    return result.verdict
