"""``counterpoint compress``: what smaller forms of the item encoder cost and keep."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from components.publish import speak
from counterpoint.errors import ConfigError
from pipelines import options
from pipelines.teaching import TeachingCommand


def compress(
    model: Annotated[Path, typer.Option(help="Folder of the trained model.")],
    features: Annotated[Path, typer.Option(help="Features folder of its training.")],
    variant: Annotated[
        list[str] | None,
        typer.Option(
            help="Such as int8_blocks, layers:4+int8 or vocabulary+fp16; may be repeated. Default: "
            "export.compression.variants, else a choice of all methods."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write the table here as well; Markdown, or JSON by name.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    config: options.ConfigFiles = None,
    set_: options.Overrides = None,
) -> None:
    """Compare smaller forms of the item encoder with the original; nothing is changed.

    Each is judged by what the served encoder is used for: the ten nearest items must stay the same,
    and items that are hidden from the model must be ranked as well as with the original. An export
    serves the first accepted one of export.compression.variants.

    [bold]Examples[/]

      counterpoint compress --model out/model --features out/features

      counterpoint compress --model out/model --features out/features --variant int8_blocks

      counterpoint run training -s export.compression.variants=[int8_blocks,fp16]
    """
    from counterpoint.compression.variants import parse

    speak("")
    faults = []
    for name in variant or ():
        try:
            parse(name)
        except ValueError as error:
            faults.append(f"--variant {error}")
    if faults:
        raise ConfigError(faults)
    settings = options.load(config, set_).export
    # Heavy, and not needed to find a fault in the options.
    from counterpoint.compression import compare, table

    found = compare.compare(model, features, settings, variant or ())
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        as_json = json.dumps(found, indent=2) + "\n"
        text = as_json if output.suffix == ".json" else table.markdown(found) + "\n"
        output.write_text(text, "utf-8")
    if json_:
        typer.echo(json.dumps(found, indent=2))
        return
    shown = Table(
        *table.HEAD, box=box.SIMPLE_HEAD, padding=0, pad_edge=False, collapse_padding=True
    )
    for form in found["forms"]:
        shown.add_row(*table.cells(form))
    options.out.print(shown)
    for form in found["forms"]:
        for reason in form.get("reasons", ()):
            options.out.print(
                f"{form['name']}: {reason['status']}. {reason['detail']}", markup=False
            )
    options.out.print(f"The first accepted form: {found['served']}.")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=TeachingCommand)(compress)
