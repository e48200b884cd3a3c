"""How much a served model takes on: queue, priorities, instances, cache, warm-up (config.pbtxt)."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tritonclient.grpc import model_config_pb2 as pb
from tritonclient.utils import triton_to_np_dtype

from serving.spec import ModelSpec

INTERACTIVE = 1
"""Priority of a request that names none: somebody waits for the answer."""

BATCH = 2
"""Priority of requests that can wait: they are taken when no other is there."""

QUEUED_REQUESTS = 256
QUEUE_SECONDS = 1.0


def batching(options: Mapping[str, str]) -> pb.ModelDynamicBatching:
    """Return how requests wait and share executions.

    A queue that is full, or too long for the time that a caller waits, is answered UNAVAILABLE:
    under overload, memory and waiting times stay bounded, and a client tries another replica.

    Args:
        options: ``max_queued_requests`` (for each priority), ``queue_timeout`` (seconds).
    """
    seconds = float(options.get("queue_timeout", QUEUE_SECONDS))
    policy = pb.ModelQueuePolicy(
        timeout_action=pb.ModelQueuePolicy.REJECT,
        default_timeout_microseconds=round(seconds * 1e6),
        # A request may name a shorter time of its own (`timeout` of tritonclient's infer).
        allow_timeout_override=True,
        max_queue_size=int(options.get("max_queued_requests", QUEUED_REQUESTS)),
    )
    return pb.ModelDynamicBatching(
        # No queue delay: a batch is what has gathered while the model was busy, so that a lone
        # request never waits.
        max_queue_delay_microseconds=0,
        priority_levels=BATCH,
        default_priority_level=INTERACTIVE,
        default_queue_policy=policy,
    )


def cached(spec: ModelSpec, options: Mapping[str, str]) -> bool:
    """Whether equal requests may be answered from the cache of the server.

    Only what depends on the request alone: never `recommend`, whose features change.
    """
    return spec.pure and options.get("response_cache", "false") == "true"


def instances(spec: ModelSpec, options: Mapping[str, str]) -> int:
    """Return the number of processes of a model: one for a graph, several for a front."""
    return 1 if spec.onnx else int(options.get("instances", "1"))


def warm_up(spec: ModelSpec, config: pb.ModelConfig) -> list[pb.ModelWarmup]:
    """Return the request that a model must have answered before it is ready.

    Args:
        spec: The model.
        config: Its configuration, with the tensors.
    """
    if spec.warm_up is None:
        return []
    values = dict(spec.warm_up)
    wanted = [t for t in config.input if not t.optional or t.name in values]
    inputs = {
        tensor.name: pb.ModelWarmup.Input(
            data_type=tensor.data_type,
            dims=[abs(size) for size in tensor.dims],
            **({"input_data_file": tensor.name} if tensor.name in values else {"zero_data": True}),
        )
        for tensor in wanted
    }
    return [pb.ModelWarmup(name="ready", batch_size=1, inputs=inputs)]


def write_warm_up(spec: ModelSpec, folder: Path) -> None:
    """Write the values of the warm-up's inputs where Triton looks for them.

    Args:
        spec: The model.
        folder: Its folder in the model repository.
    """
    dtypes = {tensor.name: tensor.dtype for tensor in spec.inputs}
    for name, value in spec.warm_up or ():
        path = folder / "warmup" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(np.array([value], dtype=triton_to_np_dtype(dtypes[name])).tobytes())
