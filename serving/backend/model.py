"""The only Triton Python model: answers requests with the Runtime of ``serving.models.<name>``.

Triton runs this file from the model's version folder, where serving/repository.py has put every
module it imports: a served version never depends on a checkout that may change under it.
"""

import gc
import importlib
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

SWITCH_SECONDS = 0.0005


class TritonPythonModel:
    """Adapts a Runtime to the Python backend."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the runtime part of the model."""
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
        config = json.loads(args["model_config"])
        folder = Path(args["model_repository"]) / args["model_version"]
        sys.path.insert(0, str(folder))
        self._version = int(args["model_version"])
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._invalid = importlib.import_module("serving.spec").InvalidInput
        module = importlib.import_module(f"serving.models.{args['model_name']}")
        options = {key: value["string_value"] for key, value in config["parameters"].items()}
        following = importlib.import_module("serving.engine.following")
        # Threads that load versions or ask a shadow hand the interpreter over within this time;
        # Python's default of 5 ms would be seen in the answers.
        sys.setswitchinterval(SWITCH_SECONDS)
        self._runtime = following.make(module, args["model_name"], folder, options, self._call)
        # A full collection looks at every object of the libraries, which stay: 30 ms in the middle
        # of a request. A version that goes later needs none (tests/serving/engine/test_freeing.py).
        gc.collect()
        gc.freeze()

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer a batch of requests; one wrong request fails alone."""
        answers = self._runtime.execute([self._read(request) for request in requests])
        responses = []
        for answer in answers:
            if isinstance(answer, self._invalid):
                error = pb_utils.TritonError(str(answer), pb_utils.TritonError.INVALID_ARG)
                responses.append(pb_utils.InferenceResponse(error=error))
            else:
                tensors = [pb_utils.Tensor(name, value) for name, value in answer.items()]
                responses.append(pb_utils.InferenceResponse(tensors))
        return responses

    def finalize(self) -> None:
        """End the runtime's threads."""
        if hasattr(self._runtime, "close"):
            self._runtime.close()

    def _read(self, request: Any) -> dict[str, Any]:
        tensors = {n: pb_utils.get_input_tensor_by_name(request, n) for n in self._inputs}
        return {name: tensor.as_numpy() for name, tensor in tensors.items() if tensor is not None}

    def _call(
        self,
        model: str,
        inputs: dict[str, Any],
        outputs: Sequence[str],
        *,
        number: int | None = None,
    ) -> dict[str, Any]:
        """Ask another model of the same version, so that a reload never mixes two versions."""
        response = pb_utils.InferenceRequest(
            model_name=model,
            model_version=self._version if number is None else number,
            requested_output_names=list(outputs),
            inputs=[pb_utils.Tensor(name, value) for name, value in inputs.items()],
        ).exec()
        if response.has_error():
            raise pb_utils.TritonModelException(f"{model}: {response.error().message()}")
        tensors = {n: pb_utils.get_output_tensor_by_name(response, n) for n in outputs}
        return {name: tensor.as_numpy() for name, tensor in tensors.items()}
