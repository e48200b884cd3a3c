"""Step ``validate``: expectation suites, quarantine, Data Docs."""

from kfp import dsl

from components.images import image


@dsl.component(base_image=image("data"), install_kfp_package=False)
def validate(
    config: dict,
    dataset: dsl.Input[dsl.Dataset],
    validated: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
) -> None:
    """Check the tables with Great Expectations; keep rejected rows with the reason."""
    from pathlib import Path

    from components.publish import copy_page, markdown, step
    from counterpoint.config import ValidationConfig
    from counterpoint.stages import validate as stage

    with step(metrics) as figures:
        try:
            result = stage.run(
                ValidationConfig.model_validate(config),
                dataset=Path(dataset.path),
                validated=Path(validated.path),
            )
        finally:
            copy_page(stage.docs_page(Path(validated.path)), report.path)
        figures |= result.figures
        markdown(summary.path, f"Validation: {result.verdict}", result.figures, notes=result.notes)
