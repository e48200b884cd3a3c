"""Step ``export``: ONNX graphs, refused unless they answer as torch does."""

from kfp import dsl

from components.images import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def export(
    config: dict,
    features: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    onnx: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
) -> None:
    """Export recommender and item encoder; check parity on real users."""
    from pathlib import Path

    from components.publish import markdown, step
    from counterpoint.config import ExportConfig
    from counterpoint.stages import export as stage

    with step(metrics) as figures:
        result = stage.run(
            ExportConfig.model_validate(config),
            model=Path(model.path),
            features=Path(features.path),
            onnx=Path(onnx.path),
        )
        figures |= result.figures
        notes = ""
        if result.compression is not None:
            from counterpoint.compression import table

            notes = f"## Smaller forms of the item encoder\n\n{table.markdown(result.compression)}"
        markdown(summary.path, "Export", result.figures, notes=notes)
        onnx.metadata["framework"] = "onnx"
