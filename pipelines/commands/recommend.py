"""``counterpoint recommend``: ask the champion."""

from pathlib import Path
from typing import Annotated

import typer

from counterpoint.errors import ConfigError
from pipelines import options
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
    exclude: Annotated[list[str] | None, typer.Option(help="Item ids to leave out.")] = None,
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="Number of items.")] = 10,
    url: Annotated[
        str | None,
        typer.Option(help="host:port of a server's gRPC; default: one is started for this call."),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the answer.")] = 5.0,
    credentials: Annotated[
        Path | None,
        typer.Option(help="Folder of `counterpoint certificates`, for a server with TLS."),
    ] = None,
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Ask for recommendations: for a user, a history, attributes, or nothing (the start page).

    [bold]Examples[/]

      counterpoint recommend --user 42

      counterpoint recommend --history 50,172,181 -k 5 --url 127.0.0.1:8001

      counterpoint recommend --attributes age=31,occupation=engineer
    """
    from pipelines import answers
    from serving.client import RecommendClient
    from serving.credentials import NO_CREDENTIALS, Credentials
    from serving.serve import champion_server, champion_titles

    settings = options.load(config, set_)
    profile = split(attributes)
    wrong = [token for token in profile if "=" not in token]
    if wrong:
        raise ConfigError([f"Attribute {token!r} must look like name=value." for token in wrong])
    question = f"user {user}" if user else "you"
    shown = Credentials.of_folder(credentials) if credentials and url else NO_CREDENTIALS

    def ask(address: str) -> None:
        with RecommendClient(address, timeout=timeout, credentials=shown) as client:
            answer = client.recommend(
                user=user,
                history=split(history),
                attributes=profile,
                exclude=split(exclude),
                k=k,
            )
        titles = champion_titles(settings.deploy)
        answers.show(answer, question=f"For {question}", titles=titles, console=options.out)
        options.out.print(f"Model version {answer.model_version}")

    if url:
        ask(url)
        return
    with options.err.status("Starting a server for this call (counterpoint serve keeps one) …"):
        server = champion_server(settings.deploy, log=Path(settings.deploy.triton) / "ask.log")
        server.__enter__()
    try:
        ask(server.url)
    finally:
        server.stop()


def split(values: list[str] | None) -> list[str]:
    """Take lists given with commas, repeated, or both."""
    return [part.strip() for value in values or () for part in value.split(",") if part.strip()]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=TeachingCommand)(recommend)
