"""``counterpoint certificates``: a private authority and tokens, to try TLS with."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines import options
from pipelines.teaching import TeachingCommand


def certificates(
    folder: Annotated[Path, typer.Option(help="Where to write them.")] = Path("var/tls"),
    name: Annotated[
        list[str] | None,
        typer.Option(help="Host name or address of the server; repeat for several."),
    ] = None,
) -> None:
    """Make a private authority, a server's and a client's certificate, and tokens.

    [bold]Examples[/]

      counterpoint certificates --folder var/tls

      counterpoint certificates --folder tls --name triton.example.com --name 10.0.0.7
    """
    from serving import certificates as made

    made.write(folder, names=name or ("localhost", "127.0.0.1"))
    options.out.print(f"Wrote {', '.join(made.FILES)} to {folder}, valid for {made.DAYS} days.")
    options.out.print(
        f"Serve with them: counterpoint serve -s deploy.tls.certificate={folder}/server.pem "
        f"-s deploy.tls.key={folder}/server.key -s deploy.tls.client_ca={folder}/ca.pem "
        f"-s deploy.token_file={folder}/tokens",
        soft_wrap=True,
    )
    options.out.print(
        f"Ask: counterpoint recommend --url 127.0.0.1:8001 --credentials {folder}", soft_wrap=True
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=TeachingCommand)(certificates)
