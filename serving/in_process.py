"""The served models in this process, without Triton: what the smoke test compares with.

The graphs run on onnxruntime here; the code of the fronts is the one that Triton runs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from counterpoint import plugins
from serving.engine import following
from serving.repository import MODELS
from serving.spec import Arrays, Call, InvalidInput, Runtime


class InProcess:
    """Answers requests from a local-form model repository.

    Args:
        repository: Written by serving/repository.py in the local form.
        number: Triton's version number.
        options: Parameters of the models.
    """

    def __init__(self, repository: Path, *, number: int, options: Mapping[str, str]) -> None:
        self._repository = repository
        self._number = number
        self._options = options
        self._runtimes = {
            config.parent.name: self.runtime(config.parent.name, self.call)
            for config in sorted(repository.glob("*/config.pbtxt"))
        }

    def runtime(self, model: str, call: Call) -> Runtime:
        """Return the runtime of one model, which asks the others through ``call``."""
        folder = self._repository / model / str(self._number)
        return following.make(plugins.load(MODELS, model), model, folder, self._options, call)

    def call(
        self, model: str, inputs: Arrays, outputs: Sequence[str], *, number: int | None = None
    ) -> Arrays:
        """Run one request and return the named outputs; there is only one version of a model.

        Raises:
            InvalidInput: The request is wrong.
        """
        answer = self._runtimes[model].execute([inputs])[0]
        if isinstance(answer, InvalidInput):
            raise answer
        return {name: answer[name] for name in outputs}
