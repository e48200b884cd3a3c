"""How much a served model takes on: queue, priorities, instances, cache, warm-up (config.pbtxt)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient.grpc import model_config_pb2 as pb
from tritonclient.utils import triton_to_np_dtype

from serving.spec import ModelSpec, Tensor

Sizes = Mapping[str, int]
"""Sizes that a version fixes, by the names that stand in its tensors' dimensions."""

INTERACTIVE = 1
"""Priority of a request that names none: somebody waits for the answer."""

BATCH = 2
"""Priority of requests that can wait: they are taken when no other is there."""


def batching(options: Mapping[str, str]) -> pb.ModelDynamicBatching:
    """Return how requests wait and share executions.

    By default a queue has no rules. Any rule (a bound, a timeout, priorities) makes Triton give up
    preparing the next batch while a model is busy, and then nobody wakes the queue when the model
    is done: a request that came meanwhile waits for the next one to arrive, up to half a second
    (``DynamicBatchScheduler::WaitForPayloadSlotAvailable``; p99 at 100 requests/s three times as
    high: benchmarks/serving/parts/queueing.py). Without rules a request leaves the queue when its
    caller gives up: Triton drops it as cancelled at the caller's deadline.

    Args:
        options: ``max_queued_requests`` (for each priority) and ``queue_timeout`` (seconds), empty
            for none; ``priorities``: true or false.
    """
    # No queue delay: a batch is what has gathered while the model was busy, so that a lone request
    # never waits.
    batching = pb.ModelDynamicBatching(max_queue_delay_microseconds=0)
    most, seconds = options.get("max_queued_requests"), options.get("queue_timeout")
    if most or seconds:
        policy = pb.ModelQueuePolicy(timeout_action=pb.ModelQueuePolicy.REJECT)
        policy.max_queue_size = int(most or 0)
        policy.default_timeout_microseconds = round(float(seconds or 0) * 1e6)
        # A request may name a shorter time of its own (`timeout` of tritonclient's infer).
        policy.allow_timeout_override = bool(seconds)
        batching.default_queue_policy.CopyFrom(policy)
    if options.get("priorities") == "true":
        batching.priority_levels, batching.default_priority_level = BATCH, INTERACTIVE
    return batching


def cached(spec: ModelSpec, options: Mapping[str, str]) -> bool:
    """Whether equal requests may be answered from the cache of the server.

    Only what depends on the request alone: never `recommend`, whose features change.
    """
    return spec.pure and options.get("response_cache", "false") == "true"


def instances(spec: ModelSpec, options: Mapping[str, str]) -> int:
    """Return the number of processes of a model: one for a graph, several for a front."""
    return 1 if spec.onnx else int(options.get("instances", "1"))


def add_warm_up(spec: ModelSpec, config: pb.ModelConfig, folder: Path, sizes: Sizes) -> None:
    """Have Triton's own backend answer a request of one row before it calls a graph ready.

    The Python models run one when they are made (serving/onnx_session.py).

    Args:
        spec: The model.
        config: Its configuration, which is changed.
        folder: Its folder in the model repository, where Triton looks for the values.
        sizes: Of the version's tensors.
    """
    values = dict(spec.warm_up or ())
    types = {tensor.name: tensor.data_type for tensor in config.input}
    inputs = {}
    for tensor in spec.inputs:
        given: dict[str, Any] = {"zero_data": True}
        if tensor.name in values:
            given = {"input_data_file": tensor.name}
            path = folder / "warmup" / tensor.name
            path.parent.mkdir(exist_ok=True)
            dtype = triton_to_np_dtype(tensor.dtype)
            path.write_bytes(np.array([values[tensor.name]], dtype=dtype).tobytes())
        inputs[tensor.name] = pb.ModelWarmup.Input(
            data_type=types[tensor.name], dims=shape(tensor, sizes), **given
        )
    config.model_warmup.add(name="ready", batch_size=1, inputs=inputs)


def warms_up(spec: ModelSpec, config: pb.ModelConfig, sizes: Sizes) -> bool:
    """Whether a configuration's warm-up suits a version too; all versions of a model share it."""
    return all(
        list(warm_up.inputs[tensor.name].dims) == shape(tensor, sizes)
        for warm_up in config.model_warmup
        for tensor in spec.inputs
    )


def shape(tensor: Tensor, sizes: Sizes) -> list[int]:
    """Return the dimensions of one row: 1 where they are free."""
    return [sizes[dim] if isinstance(dim, str) else abs(dim) for dim in tensor.dims]
