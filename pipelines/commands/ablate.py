"""``counterpoint ablate``: where the quality comes from, part by part."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from components.publish import speak
from counterpoint.config import Config
from counterpoint.errors import ConfigError
from pipelines import options
from pipelines.teaching import TeachingCommand


class Protocol(StrEnum):
    """Split protocols of docs/evaluation.md."""

    GLOBAL_TEMPORAL = "global_temporal"
    PER_USER = "per_user"
    LEAVE_LAST_OUT = "leave_last_out"
    COLD_ITEMS = "cold_items"
    WARM_AND_COLD = "warm_and_cold"


class Fold(StrEnum):
    """Which fold judges."""

    TEST = "test"
    VALID = "valid"


def ablate(
    output: Annotated[Path, typer.Option(help="Folder of the table and of finished runs.")] = Path(
        "var/ablation"
    ),
    features: Annotated[
        Path | None,
        typer.Option(help="Folder of the features stage; default: the configured source."),
    ] = None,
    protocol: Annotated[
        list[Protocol] | None,
        typer.Option(help="Split; may be repeated. Default: the configuration's."),
    ] = None,
    fold: Annotated[
        Fold, typer.Option(help="valid: for development, the test fold is not looked at.")
    ] = Fold.TEST,
    seeds: Annotated[int, typer.Option(min=1, help="Training seeds, counted from 0.")] = 3,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Variant, pattern or part; may be repeated. The default is always run."),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(help="Your own, as name:train.key=value,train.other=value; repeatable."),
    ] = None,
    budget: Annotated[
        float | None, typer.Option(min=0, help="CPU minutes; then no further run is started.")
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="List the variants and stop.")] = False,
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Train the model with one part off or on at a time and tell what each is worth.

    Every objective, text, order, fusion, graph, prior and the cold extension; each run in a process
    of its own. Finished runs are kept: the same command continues where it was.

    [bold]Examples[/]

      counterpoint ablate --protocol per_user --protocol leave_last_out --seeds 3

      counterpoint ablate --list

      counterpoint ablate --only objectives --fold valid --budget 30

      counterpoint ablate --only wide --variant wide:train.tower.dim=256
    """
    from rich.table import Table

    from counterpoint import ablation_variants as variants

    settings = options.load(config, set_)
    own = [variants.parse(text) for text in variant or ()]
    chosen = variants.select([*variants.declared(settings), *own], only or ())
    for each in chosen:
        each.apply(settings)
    if show:
        table = Table("variant", "part", "settings")
        for each in chosen:
            table.add_row(each.name, each.part, variants.shown(each.overrides))
        options.out.print(table)
        return
    if features and protocol:
        raise ConfigError(
            ["--protocol has no meaning with --features: the folder's folds are fixed. Drop one."]
        )
    speak("")
    run(settings, chosen, features, protocol, fold, range(seeds), budget, output)


def run(
    settings: Config,
    chosen: list[Any],
    features: Path | None,
    protocols: list[Protocol] | None,
    fold: Fold,
    seeds: range,
    budget: float | None,
    output: Path,
) -> None:
    """Read the data, run the grid and print its table."""
    from rich.markdown import Markdown

    from counterpoint import ablation, ablation_report, tables, trial_data
    from counterpoint.isolation import isolated

    split = settings.features.split
    if features is None:
        folder = isolated(trial_data.read_source, settings, output / "data")
        named = [protocol.value for protocol in protocols or ()] or [split.protocol]
        data = {
            name: trial_data.TrialData(
                folder, split.model_copy(update={"protocol": name}), fold.value
            )
            for name in named
        }
    else:
        folder, source = features, trial_data.of_features(features, fold=fold.value)
        data = {source.split.protocol: source}
    content = ablation.run(
        settings,
        chosen,
        data,
        content_sha256=tables.content_hash(folder),
        seeds=seeds,
        output=output,
        budget_seconds=None if budget is None else 60 * budget,
    )
    options.out.print(Markdown(ablation_report.markdown(content)))
    options.out.print(f"Page: {output / ablation.PAGE}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=TeachingCommand)(ablate)
