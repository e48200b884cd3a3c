"""A served model that follows the champion: one Runtime per version, swapped like the front's.

For the models that answer with one version only. Inside Triton: standard library only.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from serving.engine.live_folder import Entry
from serving.engine.versions import Versions
from serving.spec import Arrays, Call, InvalidInput, Runtime

LIVE = "live"
"""Parameter of a model: the live folder; absent: the version's files lie beside the model."""


class Following:
    """Answers with the Runtime of the present champion.

    Args:
        make: Class of the Runtime, made from (folder, options, call).
        model: Name of the served model.
        options: Parameters of the model, with ``live``.
        call: Asks another model.
    """

    def __init__(self, make: Any, model: str, options: Mapping[str, str], call: Call) -> None:
        def load(folder: Path, entry: Entry) -> Runtime:
            return make(folder, {**options, "version": entry.version}, call)

        self._versions: Versions[Runtime] = Versions(Path(options[LIVE]), load, model=model)

    def execute(self, requests: Sequence[Arrays]) -> Sequence[Arrays | InvalidInput]:
        """Answer all requests with the same version."""
        return self._versions.current().champion.engine.execute(requests)

    def close(self) -> None:
        """Stop following."""
        self._versions.close()


def make(module: Any, model: str, folder: Path, options: Mapping[str, str], call: Call) -> Runtime:
    """Return the runtime of a served model.

    Args:
        module: Its file in serving/models. ``Runtime.follows`` says that it looks after versions
            itself.
        model: Its name.
        folder: Files beside the model.
        options: Parameters of the model.
        call: Asks another model.
    """
    if options.get(LIVE) and not getattr(module.Runtime, "follows", False):
        return Following(module.Runtime, model, options, call)
    runtime: Runtime = module.Runtime(folder, options, call)
    return runtime
