"""``counterpoint similar``: items like an item."""

from typing import Annotated

import typer

from pipelines import asking, options, rule_arguments
from pipelines.asking import split
from pipelines.teaching import TeachingCommand


def similar(
    items: Annotated[list[str], typer.Argument(help="Item ids; several stand for their mean.")],
    allow: Annotated[
        list[str] | None, typer.Option(help="Item ids that alone may be shown.")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Item ids to leave out.")] = None,
    rule: rule_arguments.RuleOptions = None,
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="Number of items.")] = 10,
    trace: Annotated[bool, typer.Option("--trace", help="Show what each rule did.")] = False,
    url: Annotated[
        str | None,
        typer.Option(help="host:port of a server's gRPC; default: one is started for this call."),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the answer.")] = 5.0,
    credentials: asking.CredentialsFolder = None,
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Show the items most like an item, or like several of them together.

    [bold]Examples[/]

      counterpoint similar 50

      counterpoint similar 50 172 --rule 'category.none=[genre=Horror]' -k 5
    """
    from pipelines import answers

    settings = options.load(config, set_)
    rules = rule_arguments.parse(rule)
    with asking.client(url, settings, timeout=timeout, credentials=credentials) as client:
        answer = client.similar(
            *split(items), allow=split(allow), exclude=split(exclude), rules=rules, k=k
        )
    answers.show_similar(answer, items=split(items), console=options.out)
    if trace:
        answers.show_trace(answer, console=options.out)
    options.out.print(f"Model version {answer.model_version}, trace {answer.trace_id}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=TeachingCommand)(similar)
