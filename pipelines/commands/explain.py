"""``counterpoint explain``: why an item is recommended."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from components.publish import speak
from counterpoint.config import Config
from counterpoint.errors import ConfigError, DataError
from pipelines import options
from pipelines.commands.fit import files
from pipelines.commands.recommend import split
from pipelines.teaching import TeachingCommand

if TYPE_CHECKING:
    from counterpoint.explainer import Explainer


def explain(
    user: Annotated[str, typer.Option(help="Id of a known user.")] = "",
    history: Annotated[
        list[str] | None,
        typer.Option(help="Liked item ids, oldest first; separated by commas or repeated."),
    ] = None,
    attributes: Annotated[
        list[str] | None,
        typer.Option(help="name=value of the user, such as age=31; commas or repeated."),
    ] = None,
    item: Annotated[
        list[str] | None,
        typer.Option(help="Item to explain; commas or repeated. Default: the best -k items."),
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="Best items to explain.")] = 3,
    model: Annotated[
        Path | None, typer.Option(help="Model folder; default: the champion of the registry.")
    ] = None,
    interactions: Annotated[
        Path | None,
        typer.Option(help="With --model: file of the users' interactions, as for `fit`."),
    ] = None,
    items: Annotated[
        Path | None,
        typer.Option(help="Items file: descriptions, and new items to explain from their text."),
    ] = None,
    users: Annotated[Path | None, typer.Option(help="Users file: attributes.")] = None,
    terms: Annotated[bool, typer.Option(help="Look at the words of the items.")] = True,
    check: Annotated[
        int, typer.Option(min=0, help="Measure how faithful the reasons of this many users are.")
    ] = 0,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Say why an item is recommended: history items, attributes, words, similar users, scorers.

    A contribution is the fall of the item's score when the model does not see that event: it asks
    the model itself and holds for every scorer. The named items are put to the test: the table says
    what the score and the place become for a user to whom they never happened.

    [bold]Examples[/]

      counterpoint explain --user 42

      counterpoint explain --history 50,172,181 --item 183 --json

      counterpoint explain --model my-model --interactions orders.csv --user 7 -k 5

      counterpoint explain --model my-model --interactions orders.csv --check 200
    """
    from counterpoint import columns
    from counterpoint.explainer import visitor
    from pipelines import explained

    speak("")
    settings = options.load(config, set_)
    given = {"interactions": interactions, "items": items, "users": users}
    _check(user, history, attributes, model, given)
    with _explainer(settings, model, given, configured=bool(config or set_), terms=terms) as all_:
        if check:
            found = explained.faithfulness(all_, check)
            plain: object = found
        else:
            if user:
                person = all_.user(user)
            else:
                person = visitor(all_.recommender, split(history), split(attributes))
            wanted = split(item) or all_.recommender.recommend(person, k)[columns.ITEM].to_list()
            accounts = [all_.account(person, one) for one in wanted]
            plain = [account.plain() for account in accounts]
    if json_:
        typer.echo(json.dumps(plain, indent=2, ensure_ascii=False))
    elif check:
        explained.show_faithfulness(found, options.out)
    else:
        for account in accounts:
            explained.show(account, options.out)


def _check(
    user: str,
    history: list[str] | None,
    attributes: list[str] | None,
    model: Path | None,
    given: dict[str, Path | None],
) -> None:
    faults = []
    if user and (history or attributes):
        faults.append("Give --user, or --history and --attributes of somebody unknown, not both.")
    named = [f"--{name}" for name, path in given.items() if path]
    if named and model is None:
        faults.append(
            f"{' and '.join(named)} needs --model: the champion brings its own users and items."
        )
    if named and not given["interactions"]:
        faults.append(f"{' and '.join(named)} needs --interactions.")
    if faults:
        raise ConfigError(faults)


@contextmanager
def _explainer(
    settings: Config,
    model: Path | None,
    given: dict[str, Path | None],
    *,
    configured: bool,
    terms: bool,
) -> "Iterator[Explainer]":
    from components.champion import champion_folder
    from counterpoint import artifacts, modalities, vector_tables
    from counterpoint.explainer import Explainer, nobody, users_of_snapshot, users_of_tables
    from counterpoint.recommender import Recommender
    from counterpoint.stages import ingest

    if model is None:
        with champion_folder(settings.deploy) as folder:
            if folder is None:
                raise DataError(
                    "The registry has no champion yet. Run 'counterpoint run training' first, or "
                    "name a model folder with --model."
                )
            known = users_of_snapshot(folder / "onnx" / artifacts.USERS_SNAPSHOT)
            yield Explainer(Recommender.load(folder / "model"), known, with_terms=terms)
        return
    recommender = Recommender.load(model)
    if not any(given.values()) and not configured:
        yield Explainer(recommender, nobody(), with_terms=terms)
        return
    source = files(settings.ingest, given) if given["interactions"] else settings.ingest
    with TemporaryDirectory(prefix="counterpoint-") as scratch:
        ingest.run(source, dataset=Path(scratch))
        known, described = users_of_tables(recommender, model, Path(scratch))
        vectors = vector_tables.read(Path(scratch))
    if given["items"]:
        shown = modalities.readable(recommender.settings.modalities, vectors)
        recommender = recommender.extend(described, modalities=shown)
    yield Explainer(recommender, known, described, terms)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=TeachingCommand)(explain)
