"""``counterpoint runs``: records of the runs on this machine."""

from typing import Annotated

import typer
from rich.table import Table

from pipelines import options, runs
from pipelines.teaching import TeachingCommand

app = typer.Typer(help="Runs on this machine.", no_args_is_help=True)


@app.command("list", cls=TeachingCommand)
def list_(runs_dir: options.RunsFolder = options.RUNS) -> None:
    """List the runs, newest first.

    [bold]Example[/]

      counterpoint runs list
    """
    table = Table("run", "pipeline", "status", "started", "seconds")
    records = [runs.read(folder) for folder in runs.all_folders(runs_dir)]
    for record in sorted(records, key=lambda r: str(r["started"]), reverse=True):
        seconds = sum(stage["seconds"] or 0 for stage in record["stages"])
        table.add_row(
            record["id"],
            record["pipeline"],
            record["status"],
            record["started"],
            f"{seconds:.0f}",
        )
    options.out.print(table if records else f"No runs yet in {runs_dir}.")


@app.command(cls=TeachingCommand)
def show(
    run: Annotated[str, typer.Argument(help="Id, its beginning, or 'latest'.")] = "latest",
    runs_dir: options.RunsFolder = options.RUNS,
) -> None:
    """Show a run: stages, times, key figures, fault, where its files are.

    [bold]Example[/]

      counterpoint runs show latest
    """
    folder = runs.find(runs_dir, run)
    record = runs.read(folder)
    table = Table("stage", "status", "seconds", "key figure", title=record["id"])
    for stage in record["stages"]:
        seconds = f"{stage['seconds']:.1f}" if stage["seconds"] else ""
        table.add_row(stage["name"], stage["status"], seconds, stage["key_figure"])
    options.out.print(table)
    options.out.print(f"Status: {record['status']}")
    if record.get("fault"):
        options.out.print(record["fault"]["message"], markup=False)
    options.out.print(f"Report: {folder / runs.REPORT}\nLog: {folder / runs.LOG}")


@app.command(cls=TeachingCommand)
def prune(
    keep: Annotated[int, typer.Option(min=0, help="Newest finished runs to keep.")] = 5,
    runs_dir: options.RunsFolder = options.RUNS,
) -> None:
    """Remove old runs with their artifacts; versions in the registry stay.

    [bold]Example[/]

      counterpoint runs prune --keep 3
    """
    removed = runs.prune(runs_dir, keep)
    options.out.print(f"Removed {len(removed)} runs: {', '.join(removed) or 'none'}.")
