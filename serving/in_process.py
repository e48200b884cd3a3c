"""The served models in this process, without Triton: what the smoke test compares with.

The graphs run on onnxruntime here; the code of the fronts is the one that Triton runs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from counterpoint import plugins
from serving.repository import MODELS
from serving.spec import Arrays, InvalidInput, Runtime


class InProcess:
    """Answers requests from a local-form model repository.

    Args:
        repository: Written by serving/repository.py in the local form.
        number: Triton's version number.
        options: Parameters of the models.
    """

    def __init__(self, repository: Path, *, number: int, options: Mapping[str, str]) -> None:
        self._runtimes: dict[str, Runtime] = {}
        for config in sorted(repository.glob("*/config.pbtxt")):
            name = config.parent.name
            module = plugins.load(MODELS, name)
            self._runtimes[name] = module.Runtime(config.parent / str(number), options, self.call)

    def call(self, model: str, inputs: Arrays, outputs: Sequence[str]) -> Arrays:
        """Run one request and return the named outputs.

        Raises:
            InvalidInput: The request is wrong.
        """
        answer = self._runtimes[model].execute([inputs])[0]
        if isinstance(answer, InvalidInput):
            raise answer
        return {name: answer[name] for name in outputs}
