"""``counterpoint``: the command line. One command a file in pipelines/commands."""

import sys
import warnings

import typer

from counterpoint.errors import as_fault
from pipelines.commands import (
    ablate,
    batch,
    certificates,
    config,
    cross_validate,
    demo,
    evaluate,
    explain,
    fit,
    models,
    monitor,
    recommend,
    run,
    runs,
    serve,
    stage,
    submit,
)
from pipelines.commands import (
    compile as compile_command,
)
from pipelines.options import err

HELP = """Recommendations trained by contrastive learning on a language model.

[bold]Start here[/]

  counterpoint demo                        the whole loop on MovieLens-100K

  counterpoint config check -c my.yaml     your own data: every fault at once

  counterpoint run training -c my.yaml     from raw tables to a served champion

  counterpoint recommend --user 42         ask the champion

[bold]Exit status[/]

0 done · 1 other fault · 2 bad option or configuration · 3 unreadable data · 4 data failed
validation · 5 model refused · 6 server fault · 7 the machine lacks something · 130 interrupted
"""

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    demo,
    run,
    fit,
    batch,
    evaluate,
    cross_validate,
    ablate,
    monitor,
    serve,
    recommend,
    explain,
    certificates,
    compile_command,
    submit,
):
    module.register(app)
for name, group in (
    ("stage", stage),
    ("runs", runs),
    ("models", models),
    ("config", config),
):
    app.add_typer(group.app, name=name)


def main() -> None:
    """Run the command line; a fault of the user ends with its message and exit status."""
    warnings.simplefilter("ignore", DeprecationWarning)
    warnings.simplefilter("ignore", FutureWarning)
    try:
        app()
    except KeyboardInterrupt:
        err.print("Interrupted.")
        sys.exit(130)
    except Exception as error:  # looked at, and raised again unless a person can mend it
        fault = as_fault(error)
        if fault is None:
            raise
        err.print("[bold red]error:[/]", end=" ")
        err.print(str(fault), highlight=False, markup=False, soft_wrap=True)
        sys.exit(fault.exit_code)


if __name__ == "__main__":
    main()
