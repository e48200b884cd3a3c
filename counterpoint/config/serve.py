"""Export, registry and Triton."""

from typing import Any, Literal

from pydantic import Field

from counterpoint.config.base import Section
from counterpoint.config.compression import CompressionConfig


class ExportConfig(Section):
    """ONNX export and its parity check."""

    opset: int = Field(default=17, ge=17, le=20)
    """ONNX operator set of the graphs; Triton's onnxruntime must know it."""

    max_k: int = Field(default=100, ge=1)
    """Longest list the graph returns."""

    parity_users: int = Field(default=200, ge=1)
    """Users whose lists are compared between torch and the graph, over all history lengths."""

    tolerance: float = Field(default=1e-4, gt=0)
    """Largest difference of scores and of text vectors."""

    max_exact_items: int = Field(default=100_000, ge=0)
    """Larger catalogues get an index: only its candidates are scored."""

    max_exact_cold_items: int = Field(default=20_000, ge=0)
    """With an index: more items without interactions than this get an index of their own."""

    popular_items: int = Field(default=5_000, ge=1)
    """With an index: the most popular items, and all of the linear parts, are always scored."""

    candidates: int = Field(default=3_000, ge=1)
    """With an index: items that are taken from it for each question to it."""

    cold_candidates: int = Field(default=1_000, ge=1)
    """The same for items without interactions."""

    min_recall: float = Field(default=0.98, ge=0, le=1)
    """With an index: share of the lists of scoring every item that must be found."""

    compression: CompressionConfig = CompressionConfig()
    """Smaller forms of the item encoder."""


class TlsConfig(Section):
    """TLS on gRPC; `counterpoint certificates` makes files to try it with."""

    certificate: str
    """PEM file: the server's certificate, with the chain up to the authority."""

    key: str
    """PEM file: its private key."""

    client_ca: str | None = None
    """PEM file: the authority of client certificates, which are then asked of every client."""


class DeployConfig(Section):
    """Registry and Triton model repository."""

    registry: str = "var/registry"
    """Any fsspec path."""

    triton: str = "var/triton"
    """Folder of the model repositories and of the server's log."""

    triton_env: str = ".venv-triton"
    """Environment of the local server (numpy<2, onnxruntime, tokenizers, nvidia-pytriton)."""

    poll_seconds: float = Field(default=1.0, gt=0)
    """How often a running server looks at the registry for another champion, canary or shadow."""

    target: Literal["local", "cluster"] = "local"
    """``local``: python backend with onnxruntime; ``cluster``: Triton's onnxruntime backend."""

    start_timeout: float = Field(default=120.0, gt=0)
    """Seconds until a started server must be ready."""

    smoke_timeout: float = Field(default=60.0, gt=0)
    """Seconds for each answer of the smoke test."""

    rules: dict[str, Any] = Field(default_factory=dict)
    """Rules of every request that does not name them itself: name -> options; null
    leaves a built-in rule out, of which there is one, ``availability: {}``."""

    feature_server: str | None = None
    """host:port of the Feast feature server; none: known users are answered from the online store's
    snapshot shipped with the version."""

    feature_service: str = "recommender_v1"
    """FeatureService that is asked for a user's history and attributes."""

    feature_timeout: float = Field(default=0.2, gt=0)
    """Seconds; a slower feature server counts as down and the snapshot answers (``degraded``)."""

    live_items: str | None = "var/live/items.sqlite"
    """File of the items that were added, changed or removed since the training; made on demand on a
    local disk. None: the served catalogue never changes."""

    live_items_server: str | None = None
    """host:port of the server that keeps the live items of several machines (``counterpoint
    live-items-server``); ``live_items`` is then this machine's copy."""

    tls: TlsConfig | None = None
    """TLS on gRPC; HTTP, which Triton cannot encrypt, then answers health checks only."""

    token_file: str | None = None
    """File with the lines ``inference=…`` and ``admin=…``: tokens that requests, and the calls that
    change the server, must bear."""

    max_request_bytes: int = Field(default=1_048_576, ge=1024)
    """Most bytes of all values of one request; a larger one is refused."""

    instances: int = Field(default=1, ge=1, le=64)
    """Processes of each Python front; each holds the whole model."""

    max_queued_requests: int | None = Field(default=None, ge=1)
    """Requests that may wait for a model; more are answered UNAVAILABLE at once. None: any number.
    Setting this, ``queue_timeout`` or ``priorities`` makes some requests wait up to half a second
    (serving/limits.py)."""

    queue_timeout: float | None = Field(default=None, gt=0)
    """Seconds a request may wait for a model; then it is answered UNAVAILABLE. None: as long as its
    caller waits."""

    priorities: bool = False
    """Requests with ``priority=2`` wait for those with 1 (or none)."""

    cache_mb: int = Field(default=16, ge=0)
    """MB for answers of `encode` and `item_encoder`, which depend on the text alone; 0: none."""

    log_requests: Literal["off", "errors", "all"] = "errors"
    """JSON log lines: none, of degraded, refused and failed requests, or of every request."""

    log_key_file: str | None = None
    """Key (16 bytes or more) under which user ids are pseudonymised in logs and impressions; none:
    a random one for each process."""

    impressions: str | None = None
    """Folder of the impression log (what was shown to whom); none: it is not kept."""

    impressions_mb: int = Field(default=1024, ge=64)
    """Most memory the impression log takes on disk; the oldest files go first."""
