"""Step ``features``: point-in-time features and training examples from Feast."""

from kfp import dsl

from components.images import image


@dsl.component(base_image=image("data"), install_kfp_package=False)
def features(
    config: dict,
    validated: dsl.Input[dsl.Dataset],
    features_out: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
) -> None:
    """Apply the feature repository, join examples point in time, fill the online store."""
    from pathlib import Path

    from components.publish import markdown, step
    from counterpoint.config import FeaturesConfig
    from feature_repo.retrieve import run_features

    with step(metrics) as figures:
        result = run_features(
            FeaturesConfig.model_validate(config),
            validated=Path(validated.path),
            features=Path(features_out.path),
        )
        figures |= result.figures
        markdown(summary.path, "Features", result.figures)
