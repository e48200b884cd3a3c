"""``counterpoint config``: look at a configuration and check it."""

import typer
import yaml

from counterpoint import plugins
from counterpoint.config import Config
from counterpoint.errors import ConfigError
from pipelines import options
from pipelines.teaching import TeachingCommand

app = typer.Typer(help="The configuration.", no_args_is_help=True)


@app.command(cls=TeachingCommand)
def show(config: options.ConfigFiles = None, set_: options.Overrides = None) -> None:
    """Print the whole configuration as YAML: defaults, files and overrides merged.

    [bold]Example[/]

      counterpoint config show -c my.yaml -s train.seed=1
    """
    settings = options.load(config, set_)
    print(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False), end="")


@app.command(cls=TeachingCommand)
def check(config: options.ConfigFiles = None, set_: options.Overrides = None) -> None:
    """Check a configuration, including the options of every plugin it names.

    [bold]Example[/]

      counterpoint config check -c my.yaml
    """
    settings = options.load(config, set_)
    faults = plugin_faults(settings)
    if faults:
        raise ConfigError(faults)
    options.out.print("The configuration is good.")


def plugin_faults(settings: Config) -> list[str]:
    """Faults in the options of data set, objectives, metrics and baselines."""
    from pydantic import ValidationError

    chosen = [("counterpoint.datasets", settings.ingest.dataset, settings.ingest.options)]
    chosen += [
        (f"counterpoint.{kind}", name, options_)
        for kind, table in (
            ("objectives", settings.train.objectives),
            ("baselines", settings.evaluate.baselines),
        )
        for name, options_ in table.items()
    ]
    faults = []
    for package, name, values in chosen:
        try:
            values = {key: value for key, value in values.items() if key != "weight"}
            plugins.load(package, name).Config.model_validate(values)
        except ConfigError as error:
            faults += error.faults
        except ValidationError as error:
            known = ", ".join(plugins.load(package, name).Config.model_fields)
            for fault in error.errors():
                where = ".".join([name, *map(str, fault["loc"])])
                faults.append(f"{where}: {fault['msg']}. Options of {name}: {known}.")
    for name in settings.evaluate.metrics:
        try:
            plugins.load("counterpoint.metrics", name.partition("@")[0])
        except ConfigError as error:
            faults += error.faults
    return faults
