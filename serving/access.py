"""Who may ask a tritonserver what: its TLS and token flags, made from the configuration.

Triton takes tokens on its command line only, which every user of the machine can read
(docs/operations.md, Tokens); files are not read by it. Client certificates have no such weakness.
"""

import secrets
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from counterpoint.config.serve import DeployConfig
from counterpoint.errors import SetupError
from serving import tokens
from serving.observe import pseudonyms
from serving.secret_files import existing, private
from serving.tokens import HEADER

FOR_INFERENCE = ("inference", "metadata")
FOR_ADMIN = (
    "model-repository",
    "shared-memory",
    "model-config",
    "statistics",
    "trace",
    "logging",
)
"""APIs that change the server, read its memory or tell of its inside. ``health`` is open."""

TRACE_HEADERS = "(?i)(traceparent|tracestate)"

_MB = 1024 * 1024


@dataclass(frozen=True)
class Access:
    """Flags of one server beyond its models and ports.

    Attributes:
        tls: Certificate, key, authority of client certificates; none: plain text.
        inference: Token of requests; none: nobody needs one.
        admin: Token of FOR_ADMIN; none, but TLS or a token for inference: nobody may.
        cache_mb: Response cache; 0: none.
    """

    tls: tuple[Path, Path, Path | None] | None = None
    inference: str | None = None
    admin: str | None = None
    cache_mb: int = 0

    def flags(self, caches: Path) -> list[str]:
        """Return arguments of tritonserver.

        Args:
            caches: Folder of the server's cache libraries.
        """
        found = [f"--{p}-header-forward-pattern={TRACE_HEADERS}" for p in ("grpc", "http")]
        if self.cache_mb:
            found.append(f"--cache-directory={caches}")
            found.append(f"--cache-config=local,size={self.cache_mb * _MB}")
        if self.tls is not None:
            certificate, key, authority = self.tls
            found += ["--grpc-use-ssl=true", f"--grpc-server-cert={certificate}"]
            found.append(f"--grpc-server-key={key}")
            if authority is not None:
                found += ["--grpc-use-ssl-mutual=true", f"--grpc-root-cert={authority}"]
        found += self._restricted("grpc-restricted-protocol", over_tls=self.tls is not None)
        # Triton has no TLS for HTTP: beside it, nothing but health is answered in plain text.
        found += self._restricted("http-restricted-api", closed=self.tls is not None)
        return found

    def _restricted(self, flag: str, *, closed: bool = False, over_tls: bool = False) -> list[str]:
        nobody = secrets.token_urlsafe(32)
        tokens_of: dict[tuple[str, ...], str] = {}
        if closed:
            tokens_of = {FOR_INFERENCE + FOR_ADMIN: nobody}
        elif self.inference is not None:
            tokens_of = {FOR_INFERENCE: self.inference, FOR_ADMIN: self.admin or nobody}
        elif over_tls:
            tokens_of = {FOR_ADMIN: nobody}
        return [
            f"--{flag}={','.join(apis)}:{HEADER}=Bearer {token}"
            for apis, token in tokens_of.items()
        ]


OPEN = Access()
"""Plain text and no token: a server on the loopback interface, or behind a network policy."""


def of(config: DeployConfig) -> Access:
    """Return what a configuration asks for.

    Raises:
        SetupError: A file is missing, or others than its owner can read a secret.
    """
    if config.log_key_file is not None:
        # Here rather than in the model, where the fault would only stand in Triton's log.
        key = private(Path(config.log_key_file), "deploy.log_key_file")
        try:
            pseudonyms.from_file(str(key))
        except ValueError as error:
            raise SetupError(f"deploy.log_key_file: {error}") from None
    inference = admin = None
    if config.token_file is not None:
        inference, admin = tokens.read(Path(config.token_file))
    tls = None
    if config.tls is not None:
        authority = config.tls.client_ca
        tls = (
            existing(config.tls.certificate, "deploy.tls.certificate"),
            private(Path(config.tls.key), "deploy.tls.key"),
            existing(authority, "deploy.tls.client_ca") if authority else None,
        )
    return Access(tls=tls, inference=inference, admin=admin, cache_mb=config.cache_mb)


def ready(host: str, http_port: int, models: list[str], *, timeout: float = 2.0) -> bool:
    """Ask over HTTP, whose health API needs neither certificate nor token."""
    try:
        for model in models:
            with urlopen(f"http://{host}:{http_port}/v2/models/{model}/ready", timeout=timeout):
                pass
    except (URLError, OSError):
        return False
    return True
