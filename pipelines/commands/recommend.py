"""``counterpoint recommend``: ask the champion."""

from typing import Annotated

import typer

from counterpoint.errors import ConfigError
from pipelines import asking, options, rule_arguments
from pipelines.asking import split
from pipelines.teaching import TeachingCommand


def recommend(
    user: Annotated[str, typer.Option(help="Id of a user.")] = "",
    history: Annotated[
        list[str] | None,
        typer.Option(help="Item ids, oldest first; separated by commas or repeated."),
    ] = None,
    attributes: Annotated[
        list[str] | None,
        typer.Option(help="name=value of the user, such as age=31; commas or repeated."),
    ] = None,
    allow: Annotated[
        list[str] | None, typer.Option(help="Item ids that alone may be recommended.")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Item ids to leave out.")] = None,
    rule: rule_arguments.RuleOptions = None,
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="Number of items.")] = 10,
    trace_id: Annotated[
        str, typer.Option(help="Name of the question: the same one draws the same list.")
    ] = "",
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
    """Ask for recommendations: for a user, a history, attributes, or nothing (the start page).

    [bold]Examples[/]

      counterpoint recommend --user 42

      counterpoint recommend --history 50,172,181 -k 5 --url 127.0.0.1:8001

      counterpoint recommend --attributes age=31,occupation=engineer

      counterpoint recommend --user 42 --rule 'category.any=[genre=Drama]' --rule mmr.weight=0.4

      counterpoint recommend --user 42 --rule cap.attribute=genre --rule cap.most=2 --trace
    """
    from pipelines import answers
    from serving.serve import champion_titles

    settings = options.load(config, set_)
    profile = split(attributes)
    wrong = [token for token in profile if "=" not in token]
    if wrong:
        raise ConfigError([f"Attribute {token!r} must look like name=value." for token in wrong])
    rules = rule_arguments.parse(rule)
    question = f"user {user}" if user else "you"
    with asking.client(url, settings, timeout=timeout, credentials=credentials) as client:
        answer = client.recommend(
            user=user,
            history=split(history),
            attributes=profile,
            allow=split(allow),
            exclude=split(exclude),
            rules=rules,
            k=k,
            trace_id=trace_id,
        )
    titles = champion_titles(settings.deploy)
    answers.show(answer, question=f"For {question}", titles=titles, console=options.out)
    if trace:
        answers.show_trace(answer, console=options.out)
    options.out.print(f"Model version {answer.model_version}, trace {answer.trace_id}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=TeachingCommand)(recommend)
