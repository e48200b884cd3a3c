"""The monitoring pipeline: look at a window of new events and retrain when they have drifted."""

from kfp import dsl

from components.ingest import ingest
from components.monitor import monitor
from components.validate import validate
from counterpoint.config import Config
from pipelines import training as training_pipeline
from pipelines.placement import place

SECTIONS = (*training_pipeline.SECTIONS, "monitor")


def build(config: Config) -> dsl.graph_component.GraphComponent:
    """Return the pipeline; on the verdict ``retrain`` it runs ``training`` as a nested pipeline."""
    default = training_pipeline.sections(config)
    cluster = config.cluster
    training = training_pipeline.build(config)

    @dsl.pipeline(
        name="monitoring",
        description="Compare new events with the champion's reference; retrain on drift.",
    )
    def monitoring(
        ingest_config: dict = default["ingest"],
        validation_config: dict = default["validation"],
        features_config: dict = default["features"],
        train_config: dict = default["train"],
        evaluate_config: dict = default["evaluate"],
        gate_config: dict = default["gate"],
        export_config: dict = default["export"],
        deploy_config: dict = default["deploy"],
        monitor_config: dict = default["monitor"],
    ) -> None:
        ingested = ingest(config=ingest_config)
        place(ingested, "ingest", cluster)
        validated = validate(config=validation_config, dataset=ingested.outputs["dataset"])
        place(validated, "validate", cluster)
        watched = monitor(
            config=monitor_config,
            deploy_config=deploy_config,
            validated=validated.outputs["validated"],
        )
        place(watched, "monitor", cluster)
        with dsl.If(watched.outputs["Output"] == "retrain", "retrain"):
            retrained = training(
                ingest_config=ingest_config,
                validation_config=validation_config,
                features_config=features_config,
                train_config=train_config,
                evaluate_config=evaluate_config,
                gate_config=gate_config,
                export_config=export_config,
                deploy_config=deploy_config,
            )
            retrained.set_display_name("Training")

    return monitoring
