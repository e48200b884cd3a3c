"""``counterpoint batch``: recommendations for all users of a file."""

from pathlib import Path
from typing import Annotated

import typer

from components.publish import speak
from counterpoint.errors import ConfigError
from pipelines import options
from pipelines.commands.stage import report
from pipelines.teaching import TeachingCommand


def batch(
    model: Annotated[Path, typer.Option(help="Model folder of `fit`.")],
    history: Annotated[Path, typer.Option(help="Interactions file of the users to serve.")],
    output: Annotated[Path, typer.Option(help="Parquet file to write.")],
    candidates: Annotated[
        Path | None,
        typer.Option(help="Items file; only its items are recommended, new ones from their text."),
    ] = None,
    users: Annotated[
        Path | None, typer.Option(help="Users file: attributes, users without history.")
    ] = None,
    vectors: Annotated[
        list[str] | None,
        typer.Option(
            help="name=path, such as image=new.parquet: vectors of the candidates, as in "
            "ingest.modalities; may be repeated."
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="Items per user.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of the order of equal timestamps.")] = 0,
) -> None:
    """Write user_id, item_id, rank and score for every user, offline.

    Seen items are left out. Users and items the model has never met are included: users without a
    known history get the start page of their attributes, new items are scored from their text.

    [bold]Examples[/]

      counterpoint batch --model my-model --history orders.csv --output top10.parquet -k 10

      counterpoint batch --model my-model --history orders.csv --output new.parquet
      --candidates new.csv --vectors image=new-images/
    """
    from counterpoint.stages import batch as stage

    speak("")
    result = stage.run(
        model=model,
        history=history,
        output=output,
        candidates=candidates,
        users=users,
        vectors=_named(vectors or []),
        k=k,
        seed=seed,
    )
    report("batch", result.figures)
    options.out.print(f"Recommendations: {output}")


def _named(given: list[str]) -> dict[str, str]:
    """Read ``name=path``."""
    pairs = [text.partition("=") for text in given]
    faults = [
        f"--vectors {name + sign + path!r} must look like image=new.parquet."
        for name, sign, path in pairs
        if not (name and path)
    ]
    if faults:
        raise ConfigError(faults)
    return {name: path for name, _, path in pairs}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=TeachingCommand)(batch)
