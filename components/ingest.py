"""Step ``ingest``: read the source into canonical tables."""

from kfp import dsl

from components.images import image


@dsl.component(base_image=image("data"), install_kfp_package=False)
def ingest(
    config: dict,
    dataset: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
) -> None:
    """Read interactions, items and users of the configured source and record their hash."""
    from pathlib import Path

    from components.publish import markdown, step
    from counterpoint.config import IngestConfig
    from counterpoint.stages import ingest as stage

    with step(metrics) as figures:
        result = stage.run(IngestConfig.model_validate(config), dataset=Path(dataset.path))
        figures |= result.figures
        markdown(summary.path, "Ingest", result.figures, notes=result.notes)
        dataset.metadata["content_sha256"] = result.content_sha256
