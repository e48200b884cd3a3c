"""A command that lists every bad option at once, with the names it knows."""

from difflib import get_close_matches
from typing import Any

import typer
from typer.core import TyperCommand

UsageError: Any = typer.BadParameter.__mro__[1]


class TeachingCommand(TyperCommand):
    """Collects all faults of a command line before it gives up.

    Click stops at the first: a person with three wrong options would need three attempts.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse, or raise one usage error that names every fault."""
        if "--help" in args or "--show-completion" in args:
            return super().parse_args(ctx, args)
        faults, understood = self._unknown_options(ctx, args)
        try:
            options, rest, _ = self.make_parser(ctx).parse_args(args=list(understood))
        except UsageError as error:
            faults.append(error.format_message())
        else:
            for parameter in self.get_params(ctx):
                try:
                    _, rest = parameter.handle_parse_result(ctx, options, rest)
                except UsageError as error:
                    given = options.get(parameter.name)
                    shown = f" (got {given!r})" if given is not None else ""
                    faults.append(error.format_message() + shown)
            if rest and not faults:
                faults.append(f"Unexpected argument(s): {' '.join(rest)}.")
        if faults:
            raise UsageError("\n".join(faults), ctx)
        ctx.params.clear()
        return super().parse_args(ctx, args)

    def _unknown_options(self, ctx: Any, args: list[str]) -> tuple[list[str], list[str]]:
        known = [o for p in self.get_params(ctx) for o in (*p.opts, *p.secondary_opts)]
        names = sorted(option for option in known if option.startswith("--"))
        faults: list[str] = []
        understood: list[str] = []
        value_of_unknown = False
        for position, argument in enumerate(args):
            name, separator, _ = argument.partition("=")
            if argument == "--":
                understood += args[position:]
                break
            if not name.startswith("--") or name in known:
                if not value_of_unknown or argument.startswith("-"):
                    understood.append(argument)
                value_of_unknown = False
                continue
            value_of_unknown = not separator
            close = get_close_matches(name, names, n=1, cutoff=0.7)
            hint = f" Did you mean {close[0]}?" if close else ""
            faults.append(f"No such option {name}.{hint}")
        if faults:
            faults.append(f"Known options: {', '.join(names)}.")
        return faults, understood
