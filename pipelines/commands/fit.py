"""``counterpoint fit``: train on files."""

from pathlib import Path
from typing import Annotated, Any

import typer

from components.publish import speak
from counterpoint.config import IngestConfig, merge
from counterpoint.errors import ConfigError
from pipelines import options
from pipelines.commands.stage import report
from pipelines.teaching import TeachingCommand


def fit(
    model: Annotated[Path, typer.Option(help="Folder of the model to write.")],
    interactions: Annotated[
        Path | None,
        typer.Option(
            help="CSV, TSV, Parquet or JSON-lines file (.gz too) of interactions; without it the "
            "configuration's data set is read."
        ),
    ] = None,
    items: Annotated[
        Path | None, typer.Option(help="Items file: titles, text, attributes.")
    ] = None,
    users: Annotated[Path | None, typer.Option(help="Users file: attributes.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of everything random; default: the configuration's.")
    ] = None,
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Train on files, without pipeline, feature store or server; validation lies inside.

    Columns with usual names (user_id, userId, item_id, product, timestamp, rating, title …) are
    found; others are named with --set ingest.options.interactions.columns.user_id=buyer.

    [bold]Examples[/]

      counterpoint fit --interactions orders.csv --items products.csv --model my-model

      counterpoint fit -c movielens-25m.yaml --model my-model

      counterpoint batch --model my-model --history orders.csv --output recommendations.parquet
    """
    from counterpoint.stages import fit as stage

    speak("")
    settings = options.load(config, set_)
    given = {"interactions": interactions, "items": items, "users": users}
    if interactions is not None:
        settings = settings.model_copy(update={"ingest": files(settings.ingest, given)})
    elif extra := [f"--{table}" for table, path in given.items() if path]:
        raise ConfigError(
            [f"{' and '.join(extra)} needs --interactions; or name all files in the configuration."]
        )
    elif not (config or set_):
        raise ConfigError(["Give --interactions, or a configuration (-c) that names a data set."])
    if seed is not None:
        train = settings.train.model_copy(update={"seed": seed})
        features = settings.features.model_copy(update={"seed": seed})
        settings = settings.model_copy(update={"train": train, "features": features})
    result = stage.run(settings, model=model)
    report("fit", result.figures)
    options.out.print(f"Model: {model}")


def files(ingest: IngestConfig, given: dict[str, Path | None]) -> IngestConfig:
    """The configured ``tables`` with these files."""
    own = ingest.options if ingest.dataset == "tables" else {}
    named: dict[str, Any] = {
        table: {"path": str(path.absolute())} for table, path in given.items() if path
    }
    options_ = merge(_sections(own), named)
    return ingest.model_copy(update={"dataset": "tables", "options": options_})


def _sections(given: dict[str, Any]) -> dict[str, Any]:
    """Options with the short form ``items: products.csv`` written out."""
    tables = ("interactions", "items", "users")
    return {
        name: {"path": value} if name in tables and isinstance(value, str) else value
        for name, value in given.items()
    }


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=TeachingCommand)(fit)
