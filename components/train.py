"""Step ``train``: the contrastive model, its choices on validation and its curves."""

from kfp import dsl

from components.images import image


@dsl.component(base_image=image("train"), install_kfp_package=False)
def train(
    config: dict,
    features: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    curves: dsl.Output[dsl.HTML],
    embedding_map: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
) -> None:
    """Fit towers, linear part and fusion; choose on validation, then refit."""
    from pathlib import Path

    from components.curves import curves_page
    from components.maps import map_page
    from components.publish import markdown, step
    from counterpoint.config import TrainConfig
    from counterpoint.stages import train as stage

    with step(metrics) as figures:
        settings = TrainConfig.model_validate(config)
        result = stage.run(settings, features=Path(features.path), model=Path(model.path))
        figures |= result.figures
        curves_page(Path(model.path), curves.path)
        map_page(Path(model.path), settings, embedding_map.path)
        markdown(summary.path, "Training", result.figures, notes=result.notes)
        model.metadata["framework"] = "torch"
