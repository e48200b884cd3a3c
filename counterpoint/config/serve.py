"""Export, registry and Triton."""

from typing import Literal

from pydantic import Field

from counterpoint.config.base import Section


class ExportConfig(Section):
    """ONNX export and its parity check."""

    opset: int = Field(default=17, ge=17)
    max_k: int = Field(default=100, ge=1)
    """Longest list the graph returns."""

    parity_users: int = Field(default=200, ge=1)
    tolerance: float = Field(default=1e-4, gt=0)


class DeployConfig(Section):
    """Registry and Triton model repository."""

    registry: str = "var/registry"
    """Any fsspec path."""

    triton: str = "var/triton"
    """Folder of the model repository and of the server's state."""

    triton_env: str = ".venv-triton"
    """Environment of the Python backend (numpy<2, onnxruntime, nvidia-pytriton)."""

    target: Literal["local", "cluster"] = "local"
    """``local``: python backend with onnxruntime; ``cluster``: Triton's onnxruntime backend."""

    smoke_timeout: float = Field(default=60.0, gt=0)
    """Seconds."""

    feature_server: str | None = None
    """host:port of the Feast feature server; none: known users are answered from the online store's
    snapshot shipped with the version."""
