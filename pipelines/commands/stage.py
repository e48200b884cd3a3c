"""``counterpoint stage``: one stage alone, folders in and folders out."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from components.publish import shown, speak
from pipelines import options
from pipelines.teaching import TeachingCommand

app = typer.Typer(
    help="One stage alone, on folders: the same functions as in the pipeline.",
    no_args_is_help=True,
)

Dataset = Annotated[Path, typer.Option(help="Folder of canonical tables.")]
Validated = Annotated[Path, typer.Option(help="Folder of accepted tables.")]
Features = Annotated[Path, typer.Option(help="Folder of features and examples.")]
Model = Annotated[Path, typer.Option(help="Folder of the trained model.")]
Evaluation = Annotated[Path, typer.Option(help="Folder of the evaluation.")]
Decision = Annotated[Path, typer.Option(help="Folder of the gate's decision.")]
Onnx = Annotated[Path, typer.Option(help="Folder of the exported graphs.")]


def report(name: str, figures: dict[str, Any]) -> None:
    """Print the key figures of a stage."""
    table = Table("figure", "value", title=name, title_justify="left")
    for figure, value in figures.items():
        table.add_row(figure, shown(value))
    options.out.print(table)


@app.callback()
def log_to_terminal() -> None:
    """Let the stages' own messages through."""
    speak("")


@app.command(cls=TeachingCommand)
def ingest(
    dataset: Dataset, config: options.ConfigFiles = None, set_: options.Overrides = None
) -> None:
    """Read the configured source into canonical tables.

    [bold]Example[/]

      counterpoint stage ingest --dataset out/dataset -c examples/own-data/config.yaml
    """
    from counterpoint.stages import ingest as stage

    result = stage.run(options.load(config, set_).ingest, dataset=dataset)
    report("ingest", result.figures)


@app.command(cls=TeachingCommand)
def validate(
    dataset: Dataset,
    validated: Validated,
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Check the tables; rejected rows are kept with the reason.

    [bold]Example[/]

      counterpoint stage validate --dataset out/dataset --validated out/validated
    """
    from counterpoint.stages import validate as stage

    settings = options.load(config, set_).validation
    report("validate", stage.run(settings, dataset=dataset, validated=validated).figures)


@app.command(cls=TeachingCommand)
def features(
    validated: Validated,
    features: Features,
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Join training examples point in time through Feast.

    [bold]Example[/]

      counterpoint stage features --validated out/validated --features out/features
    """
    from feature_repo.retrieve import run_features

    settings = options.load(config, set_).features
    report("features", run_features(settings, validated=validated, features=features).figures)


@app.command(cls=TeachingCommand)
def train(
    features: Features,
    model: Model,
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Train the model.

    [bold]Example[/]

      counterpoint stage train --features out/features --model out/model -s train.seed=1
    """
    from counterpoint.stages import train as stage

    settings = options.load(config, set_).train
    report("train", stage.run(settings, features=features, model=model).figures)


@app.command(cls=TeachingCommand)
def evaluate(
    features: Features,
    model: Model,
    evaluation: Evaluation,
    champion: Annotated[
        Path | None, typer.Option(help="Model folder to compare with; default: the registry's.")
    ] = None,
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Measure a model, the baselines and the champion on the test fold.

    [bold]Example[/]

      counterpoint stage evaluate --features out/features --model out/model --evaluation out/eval
    """
    from pipelines.commands.evaluate import evaluate_model

    evaluate_model(options.load(config, set_), features, model, evaluation, champion)


@app.command(cls=TeachingCommand)
def gate(
    evaluation: Evaluation,
    decision: Decision,
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Decide whether the candidate is promoted.

    [bold]Example[/]

      counterpoint stage gate --evaluation out/eval --decision out/decision
    """
    from counterpoint.stages import gate as stage

    result = stage.run(options.load(config, set_).gate, evaluation=evaluation, decision=decision)
    report("gate", result.figures)
    for reason in result.reasons:
        options.out.print(str(reason), markup=False)
    options.out.print(f"Decision: {decision / 'decision.html'}")


@app.command(cls=TeachingCommand)
def export(
    model: Model,
    features: Features,
    onnx: Onnx,
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Export to ONNX; refused unless the graph answers as torch does.

    [bold]Example[/]

      counterpoint stage export --model out/model --features out/features --onnx out/onnx
    """
    from counterpoint.stages import export as stage

    settings = options.load(config, set_).export
    report("export", stage.run(settings, model=model, features=features, onnx=onnx).figures)


@app.command(cls=TeachingCommand)
def deploy(
    onnx: Onnx,
    model: Model,
    evaluation: Evaluation,
    features: Features,
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Publish the version, try it in a scratch server, make it the champion.

    [bold]Example[/]

      counterpoint stage deploy --onnx out/onnx --model out/model --evaluation out/eval
      --features out/features
    """
    from components.release import release

    result = release(
        options.load(config, set_).deploy,
        onnx=onnx,
        model=model,
        evaluation=evaluation,
        features=features,
    )
    report("deploy", result.figures)
    options.out.print(f"Champion is now {result.version}.")


@app.command(cls=TeachingCommand)
def monitor(
    validated: Validated,
    monitoring: Annotated[Path, typer.Option(help="Folder of verdict and report.")],
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Compare a window of events with the champion's reference.

    [bold]Example[/]

      counterpoint stage monitor --validated out/validated --monitoring out/monitoring
    """
    from pipelines.commands.monitor import watch

    watch(options.load(config, set_), validated, monitoring)
