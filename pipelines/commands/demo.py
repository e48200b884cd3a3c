"""``counterpoint demo``: the whole loop on MovieLens-100K."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines import options
from pipelines.commands.run import tell_held
from pipelines.teaching import TeachingCommand

CONFIG = Path(__file__).resolve().parent.parent / "configs" / "demo.yaml"

QUESTIONS = (
    ("For user 1, who has a long history", {"user": "1"}),
    (
        "For a new user who liked Star Wars, The Empire Strikes Back and Alien",
        {"history": ["50", "172", "183"]},
    ),
    (
        "For a new user: 31 years old, a programmer",
        {"attributes": ["age=31", "occupation=programmer"]},
    ),
)


def demo(
    set_: options.Overrides = None,
    runs_dir: options.RunsFolder = options.RUNS,
    k: Annotated[int, typer.Option(help="Items per answer.")] = 5,
) -> None:
    """Run the training pipeline on MovieLens-100K, start tritonserver, ask it for three users.

    [bold]Example[/]

      counterpoint demo
    """
    from pipelines import answers
    from pipelines.runners import run_local
    from serving.client import RecommendClient
    from serving.serve import champion_server, champion_titles

    settings = options.load([CONFIG], set_)
    out = options.out
    finished = run_local("training", settings, root=runs_dir, console=out)
    out.print(finished.watcher.table(title="Training pipeline"))
    tell_held(finished.held)
    out.print("Starting tritonserver with the champion …")
    log = Path(settings.deploy.triton) / "demo.log"
    with champion_server(settings.deploy, log=log) as server:
        out.print(f"tritonserver answers at {server.url} (gRPC)")
        titles = champion_titles(settings.deploy)
        with RecommendClient(server.url) as client:
            for question, request in QUESTIONS:
                answer = client.recommend(k=k, **request)
                answers.show(answer, question=question, titles=titles, console=out)
    out.print("tritonserver stopped.")
    out.print(f"Run report: {finished.folder / 'report.html'}")
    out.print("Ask more:   .venv/bin/counterpoint recommend --user 42")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=TeachingCommand)(demo)
