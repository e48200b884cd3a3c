"""A closed-loop load generator: each of C callers sends its next request on receiving an answer."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tritonclient.grpc.aio as grpc

from counterpoint.onnx_parity import session
from serving.spec import Arrays, ModelSpec

Ask = Callable[[int], Awaitable[object]]


@dataclass
class Arm:
    """One way of asking, at one concurrency.

    Attributes:
        name: What is asked.
        concurrency: Number of callers.
        milliseconds: One latency per request, over all rounds.
        seconds: Duration of all rounds.
    """

    name: str
    concurrency: int
    milliseconds: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def figures(self) -> dict[str, Any]:
        """Return percentiles and throughput."""
        p50, p99 = np.percentile(self.milliseconds, [50, 99])
        return {
            "what": self.name,
            "concurrency": self.concurrency,
            "requests": len(self.milliseconds),
            "p50_ms": round(float(p50), 3),
            "p99_ms": round(float(p99), 3),
            "per_second": round(len(self.milliseconds) / self.seconds, 1),
        }


async def closed_loop(ask: Ask, arm: Arm, requests: int) -> None:
    """Send requests from ``arm.concurrency`` callers and note each latency."""
    numbers = itertools.count()

    async def caller() -> None:
        while (number := next(numbers)) < requests:
            started = time.perf_counter()
            await ask(number)
            arm.milliseconds.append((time.perf_counter() - started) * 1e3)

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(arm.concurrency)))
    arm.seconds += time.perf_counter() - started


def over_grpc(
    client: Any,
    spec: ModelSpec,
    requests: Sequence[Arrays],
    *,
    timeout: float,
    outputs: Sequence[str] = (),
) -> Ask:
    """Return a question over gRPC; request n is the n-th of the list, round and round.

    Args:
        client: Of tritonclient's asyncio.
        spec: The model.
        requests: Tensors of each request.
        timeout: Seconds.
        outputs: Tensors that are wanted; none: all.
    """
    wanted = [grpc.InferRequestedOutput(name) for name in outputs] or None
    dtypes = {tensor.name: tensor.dtype for tensor in spec.inputs}
    prepared = []
    for request in requests:
        inputs = []
        for name, array in request.items():
            inputs.append(grpc.InferInput(name, list(array.shape), dtypes[name]))
            inputs[-1].set_data_from_numpy(array)
        prepared.append(inputs)

    async def ask(number: int) -> object:
        inputs = prepared[number % len(prepared)]
        return await client.infer(spec.name, inputs, outputs=wanted, client_timeout=timeout)

    return ask


def over_onnxruntime(path: Any, requests: Sequence[Arrays], *, threads: int) -> Ask:
    """Return a question to the bare graph in this process, from a pool of threads."""
    runtime = session(path)
    pool = ThreadPoolExecutor(threads)

    def run(number: int) -> object:
        return runtime.run(None, dict(requests[number % len(requests)]))

    async def ask(number: int) -> object:
        if threads == 1:
            return run(number)
        return await asyncio.get_running_loop().run_in_executor(pool, run, number)

    return ask
