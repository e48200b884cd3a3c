"""The only Triton Python model: answers requests with the Runtime of ``serving.models.<name>``.

Triton runs this file from the model's version folder, where serving/repository.py has put every
module it imports: a served version never depends on a checkout that may change under it.
"""

import gc
import importlib
import json
import logging
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

logger = logging.getLogger(__name__)

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
        self._name = args["model_name"]
        self._traced = getattr(module.Runtime, "traced", False)
        kept = importlib.import_module("serving.kept_tensors")
        self._tensors = kept.KeptTensors(pb_utils.Tensor, getattr(module.Runtime, "repeated", ()))
        self._observer: Any = None
        if hasattr(self._runtime, "observe"):
            observing = importlib.import_module("serving.observe.serving_observer")
            metrics = importlib.import_module("serving.observe.triton_metrics")
            self._observer = observing.start(
                options,
                metrics.TritonMetrics(pb_utils),
                instance=args["model_instance_name"],
                fields=self._inputs,
            )
            self._runtime.observe(self._observer)
        # A full collection looks at every object of the libraries, which stay: 30 ms in the middle
        # of a request. A version that goes later needs none (tests/serving/engine/test_freeing.py).
        gc.collect()
        gc.freeze()

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer a batch of requests; one wrong request fails alone."""
        try:
            answers = self._runtime.execute([self._read(request) for request in requests])
        except Exception as error:  # Each caller gets an answer; the log says where it was.
            return self._failures(error, len(requests))
        responses = []
        for request, answer in zip(requests, answers, strict=True):
            if isinstance(answer, self._invalid):
                refusal = pb_utils.TritonError(str(answer), pb_utils.TritonError.INVALID_ARG)
                responses.append(pb_utils.InferenceResponse(error=refusal))
            else:
                # Handing a tensor over costs more than computing it; Triton names all of them
                # where the caller names none.
                wanted = set(request.requested_output_names())
                responses.append(pb_utils.InferenceResponse(self._tensors.of(answer, wanted)))
        return responses

    def finalize(self) -> None:
        """End the runtime's threads and write out what was observed."""
        if hasattr(self._runtime, "close"):
            self._runtime.close()
        if self._observer is not None:
            self._observer.close()

    def _failures(self, error: Exception, count: int) -> list[Any]:
        """Log where it happened without the text of the error, which may quote a request."""
        kind = type(error).__name__
        where = "".join(traceback.format_tb(error.__traceback__))
        logger.error("%s failed with %s at\n%s", self._name, kind, where)
        text = f"{self._name} failed ({kind}); the server's log says where."
        # One error object a response: the backend frees its text with the first of them.
        errors = [pb_utils.TritonError(text, pb_utils.TritonError.INTERNAL) for _ in range(count)]
        return [pb_utils.InferenceResponse(error=one) for one in errors]

    def _read(self, request: Any) -> dict[str, Any]:
        given = {tensor.name(): tensor for tensor in request.inputs()}
        read = {name: given[name].as_numpy() for name in self._inputs if name in given}
        return read | self._headers(request) if self._traced else read

    def _headers(self, request: Any) -> dict[str, Any]:
        """Return the trace context, which Triton forwards as parameters of the request."""
        given = json.loads(request.parameters())
        found = {name.lower(): value for name, value in given.items() if isinstance(value, str)}
        return {name: found[name] for name in ("traceparent", "tracestate") if name in found}

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
