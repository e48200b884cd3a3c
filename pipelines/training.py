"""The training pipeline: from raw tables to a served champion.

``training`` is one definition; which runner executes it is decided in runners.py. Each parameter is
one section of the configuration, so a change in ``train`` leaves the cached ``ingest`` untouched.
"""

from typing import Any

from kfp import dsl

from components.deploy import deploy
from components.evaluate import evaluate
from components.export import export
from components.features import features
from components.gate import gate
from components.ingest import ingest
from components.train import train
from components.validate import validate
from counterpoint.config import Config
from counterpoint.config.base import NULL
from pipelines.nodes import with_nodes
from pipelines.placement import place, place_on_gpu

SECTIONS = (
    "ingest",
    "validation",
    "features",
    "train",
    "evaluate",
    "gate",
    "export",
    "deploy",
)


def build(config: Config) -> dsl.graph_component.GraphComponent:
    """Return the pipeline whose parameter defaults and placement come from the configuration."""
    default = sections(config)
    cluster = config.cluster

    @dsl.pipeline(
        name="training",
        description="Ingest, validate, features, train, evaluate, gate, export, deploy.",
    )
    def training(
        ingest_config: dict = default["ingest"],
        validation_config: dict = default["validation"],
        features_config: dict = default["features"],
        train_config: dict = default["train"],
        evaluate_config: dict = default["evaluate"],
        gate_config: dict = default["gate"],
        export_config: dict = default["export"],
        deploy_config: dict = default["deploy"],
    ) -> None:
        ingested = ingest(config=ingest_config)
        place(ingested, "ingest", cluster)
        validated = validate(config=validation_config, dataset=ingested.outputs["dataset"])
        place(validated, "validate", cluster)
        pulled = features(config=features_config, validated=validated.outputs["validated"])
        place(pulled, "features", cluster)
        trained = train(config=train_config, features=pulled.outputs["features_out"])
        place(trained, "train", cluster)
        place_on_gpu(trained, cluster)
        evaluated = evaluate(
            config=evaluate_config,
            deploy_config=deploy_config,
            features=pulled.outputs["features_out"],
            model=trained.outputs["model"],
        )
        place(evaluated, "evaluate", cluster)
        gated = gate(config=gate_config, evaluation=evaluated.outputs["evaluation"])
        place(gated, "gate", cluster)
        with dsl.If(gated.outputs["Output"] == "promote", "promote"):
            exported = export(
                config=export_config,
                features=pulled.outputs["features_out"],
                model=trained.outputs["model"],
            )
            place(exported, "export", cluster)
            deployed = deploy(
                config=deploy_config,
                onnx=exported.outputs["onnx"],
                features=pulled.outputs["features_out"],
                model=trained.outputs["model"],
                evaluation=evaluated.outputs["evaluation"],
                decision=gated.outputs["decision"],
            )
            place(deployed, "deploy", cluster)

    return training


def sections(config: Config) -> dict[str, Any]:
    """The sections as plain values; null becomes the word NULL, since KFP knows no null."""
    values = with_nodes(config).model_dump(mode="json")
    return {name: _spelled(value) for name, value in values.items()}


def _spelled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _spelled(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_spelled(inner) for inner in value]
    return NULL if value is None else value
