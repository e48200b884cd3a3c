"""What a client shows to a server with TLS and tokens, and the trace it belongs to."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from counterpoint.errors import SetupError
from serving import tokens
from serving.tokens import GRPC_HEADER


@dataclass(frozen=True)
class Credentials:
    """Files and token of a client.

    Attributes:
        ca: PEM file of the authority of the server's certificate; none: plain text.
        certificate: PEM file of the client's certificate, where the server asks for one.
        key: PEM file of its private key.
        token: Token for inference.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    token: str | None = field(default=None, repr=False)

    @classmethod
    def of_folder(cls, folder: Path) -> "Credentials":
        """Take those of a folder that `counterpoint certificates` wrote.

        Raises:
            SetupError: A file is missing.
        """
        return cls(
            ca=folder / "ca.pem",
            certificate=folder / "client.pem",
            key=folder / "client.key",
            token=tokens.read(folder / "tokens")[0],
        )

    def channel(self) -> dict[str, Any]:
        """Return the arguments of tritonclient's InferenceServerClient (sync and asyncio).

        Raises:
            SetupError: A file is missing.
        """
        if self.ca is None:
            return {}
        return {
            "ssl": True,
            "root_certificates": _existing(self.ca),
            "certificate_chain": _existing(self.certificate),
            "private_key": _existing(self.key),
        }

    def headers(self) -> dict[str, str]:
        """Return the metadata of each request: the token, and the current OpenTelemetry context."""
        found = dict(trace_headers())
        if self.token:
            found[GRPC_HEADER] = f"Bearer {self.token}"
        return found


NO_CREDENTIALS = Credentials()


def trace_headers() -> dict[str, str]:
    """Return ``traceparent`` (and ``tracestate``) of the current OpenTelemetry span, if any."""
    try:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
    except ImportError:
        return {}
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier


def _existing(path: Path | None) -> str | None:
    if path is None:
        return None
    if not path.is_file():
        raise SetupError(f"The file {path} does not exist; the client needs it for TLS.")
    return str(path)
