"""TLS, client certificates and tokens, on a running server."""

import json
import os
import stat
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tritonclient.grpc as grpc
from cryptography import x509
from tritonclient.utils import InferenceServerException
from typer.testing import CliRunner

from counterpoint.config.serve import DeployConfig, TlsConfig
from counterpoint.errors import ConfigError, ServerError, SetupError
from pipelines.cli import app
from serving import access, certificates, tokens
from serving.client import RecommendClient, channel
from serving.credentials import NO_CREDENTIALS, Credentials
from serving.deploy import DeployResult
from serving.serve import champion_server
from serving.server import HOST, TritonServer


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes, below a path with a space."""
    folder = tmp_path_factory.mktemp("with space") / "tls"
    done = CliRunner().invoke(app, ["certificates", "--folder", str(folder)])
    assert done.exit_code == 0, done.output
    return folder


def config(tls: Path, deployed: DeployConfig) -> DeployConfig:
    files = TlsConfig(
        certificate=str(tls / "server.pem"),
        key=str(tls / "server.key"),
        client_ca=str(tls / "ca.pem"),
    )
    return deployed.model_copy(update={"tls": files, "token_file": str(tls / "tokens")})


@pytest.fixture(scope="module")
def secured(tls: Path, deployed: tuple[DeployConfig, DeployResult]) -> Iterator[TritonServer]:
    wanted = config(tls, deployed[0])
    log = Path(wanted.triton) / "secured.log"
    own = {"live_items": str(tls.parent / "items.sqlite")}
    wanted = wanted.model_copy(update=own)
    with champion_server(wanted, access=access.of(wanted), log=log) as server:
        yield server


def ask(server: TritonServer, credentials: Credentials) -> str:
    with RecommendClient(server.url, timeout=10, credentials=credentials) as client:
        return client.recommend(user="anna").source


def test_the_right_certificate_and_token_are_let_in(secured: TritonServer, tls: Path) -> None:
    assert ask(secured, Credentials.of_folder(tls)) == "known_user"


def test_the_command_line_takes_the_folder(
    secured: TritonServer, tls: Path, deployed: tuple[DeployConfig, DeployResult]
) -> None:
    asked = ["recommend", "--user", "anna", "--url", secured.url]
    registry = ["-s", f"deploy.registry={deployed[0].registry}"]
    done = CliRunner().invoke(app, [*asked, *registry, "--credentials", str(tls)])
    assert done.exit_code == 0, done.output
    assert "Model version" in done.output
    for command in (["similar", "a"], ["live-items", "list"], ["add-item", "--item-id", "tls"]):
        address = ["--url", secured.url]
        extra = registry if command[0] == "similar" else []
        done = CliRunner().invoke(app, [*command, *address, *extra])
        assert isinstance(done.exception, ServerError)
        done = CliRunner().invoke(app, [*command, *address, *extra, "--credentials", str(tls)])
        assert done.exit_code == 0, done.output
    done = CliRunner().invoke(
        app, ["remove-item", "tls", "--url", secured.url, "--credentials", str(tls)]
    )
    assert done.exit_code == 0, done.output


def test_credentials_without_a_server_are_refused(tls: Path) -> None:
    done = CliRunner().invoke(app, ["recommend", "--credentials", str(tls)])
    assert isinstance(done.exception, ConfigError)
    assert "--url" in str(done.exception)


WRONG: dict[str, Callable[[Credentials, Credentials], Credentials]] = {
    "plain text": lambda right, other: replace(NO_CREDENTIALS, token=right.token),
    "no client certificate": lambda right, other: replace(right, certificate=None, key=None),
    "another authority's client": lambda right, other: replace(
        right, certificate=other.certificate, key=other.key
    ),
    "a server of another authority": lambda right, other: replace(right, ca=other.ca),
    "no token": lambda right, other: replace(right, token=None),
    "a wrong token": lambda right, other: replace(right, token=other.token),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_everybody_else_is_refused(
    secured: TritonServer, tls: Path, tmp_path: Path, wrong: str
) -> None:
    certificates.write(tmp_path / "other")
    right, other = Credentials.of_folder(tls), Credentials.of_folder(tmp_path / "other")
    expected = "asks for a token" if "token" in wrong else "No server answers"
    with pytest.raises(ServerError, match=expected):
        ask(secured, WRONG[wrong](right, other))


ADMIN: dict[str, Callable[[Any, dict[str, str]], Any]] = {
    "model-repository": lambda c, h: c.get_model_repository_index(headers=h),
    "shared-memory": lambda c, h: c.get_system_shared_memory_status(headers=h),
    "model-config": lambda c, h: c.get_model_config("recommend", headers=h),
    "statistics": lambda c, h: c.get_inference_statistics(headers=h),
    "trace": lambda c, h: c.get_trace_settings(headers=h),
    "logging": lambda c, h: c.get_log_settings(headers=h),
}


@pytest.mark.parametrize("api", access.FOR_ADMIN)
def test_admin_calls_need_the_other_token(secured: TritonServer, tls: Path, api: str) -> None:
    credentials = Credentials.of_folder(tls)
    _, admin = tokens.read(tls / "tokens")
    client = grpc.InferenceServerClient(secured.url, **channel(credentials))
    for headers in ({}, credentials.headers()):
        with pytest.raises(InferenceServerException, match="restricted"):
            ADMIN[api](client, headers)
    assert ADMIN[api](client, {tokens.GRPC_HEADER: f"Bearer {admin}"}) is not None
    assert client.is_server_ready()
    client.close()


def test_http_in_plain_text_answers_health_only(secured: TritonServer, tls: Path) -> None:
    base = f"http://{HOST}:{secured.ports.http}/v2"
    for path in ("health/live", "health/ready", "models/recommend/ready"):
        assert urllib.request.urlopen(f"{base}/{path}", timeout=10).status == 200
    inputs = [{"name": "user_id", "shape": [1, 1], "datatype": "BYTES", "data": ["anna"]}]
    question = json.dumps({"inputs": inputs}).encode()
    token, admin = tokens.read(tls / "tokens")
    for shown in ({}, {"Authorization": f"Bearer {token}"}, {"Authorization": f"Bearer {admin}"}):
        for path, body in (
            ("models/recommend/infer", question),
            ("repository/index", b"{}"),
            ("models/stats", None),
        ):
            asked = urllib.request.Request(f"{base}/{path}", data=body, headers=shown)
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(asked, timeout=10)
            assert caught.value.code == 403


def test_the_tokens_are_not_in_the_log(secured: TritonServer, tls: Path) -> None:
    log = secured._log.read_text("utf-8", "replace")
    assert not any(token and token in log for token in tokens.read(tls / "tokens"))


def test_without_an_admin_token_admin_calls_are_closed(tmp_path: Path) -> None:
    files = (tmp_path / "certificate", tmp_path / "key", None)
    token = "x" * 16
    for given in (access.Access(inference=token), access.Access(tls=files)):
        flags = given.flags(tmp_path)
        (closed,) = (f for f in flags if f.startswith("--grpc-") and "model-repository" in f)
        apis, _, value = closed.partition("=")[2].partition(":")
        assert set(access.FOR_ADMIN) <= set(apis.split(","))
        secret = value.partition("=Bearer ")[2]
        assert len(secret) >= 32 and secret not in "".join(given.flags(tmp_path))
    assert not any("restricted" in flag for flag in access.OPEN.flags(tmp_path))


def test_certificates_are_for_their_purpose_and_keys_are_private(tls: Path) -> None:
    assert {path.name for path in tls.iterdir()} == set(certificates.FILES)
    root, server, client = (
        x509.load_pem_x509_certificate((tls / name).read_bytes())
        for name in ("ca.pem", "server.pem", "client.pem")
    )
    for issued in (server, client):
        issued.verify_directly_issued_by(root)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    for name in ("server.key", "client.key", "tokens"):
        assert stat.S_IMODE((tls / name).stat().st_mode) == 0o600
    with pytest.raises(ConfigError, match=r"holds ca\.pem, .* already"):
        certificates.write(tls)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no line `inference=TOKEN`"),
        ("inference=short", "line 1"),
        ("inference=with:colon-and-more", "line 1"),
        (f"inference={'a' * 16}\ninference={'b' * 16}", "line 2"),
        (f"inference={'a' * 16}\nadmin={'a' * 16}", "both tokens are the same"),
        (f"other={'a' * 16}", "line 1"),
    ],
)
def test_a_bad_token_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "tokens"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(SetupError, match=message):
        tokens.read(path)
    assert not any("a" * 16 in str(part) for part in _message(path))


def _message(path: Path) -> list[str]:
    try:
        tokens.read(path)
    except SetupError as error:
        return [str(error)]
    return []


def test_files_that_are_missing_or_readable_by_all_are_refused(
    tls: Path, tmp_path: Path, deployed: tuple[DeployConfig, DeployResult]
) -> None:
    wanted = config(tls, deployed[0])
    assert access.of(wanted).tls is not None
    exposed = tmp_path / "tokens"
    exposed.write_bytes((tls / "tokens").read_bytes())
    os.chmod(exposed, 0o644)
    with pytest.raises(SetupError, match=r"deploy\.token_file: every user .*`chmod 600"):
        access.of(wanted.model_copy(update={"token_file": str(exposed)}))
    gone = TlsConfig(certificate="none.pem", key=str(tls / "server.key"))
    with pytest.raises(SetupError, match=r"deploy\.tls\.certificate: .*counterpoint certificates"):
        access.of(wanted.model_copy(update={"tls": gone}))


def test_a_key_of_pseudonyms_must_be_secret_and_long(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"0123456789")
    key.chmod(0o644)
    wanted = DeployConfig(log_key_file=str(key))
    with pytest.raises(SetupError, match=r"deploy\.log_key_file: every user"):
        access.of(wanted)
    key.chmod(0o600)
    with pytest.raises(SetupError, match=r"deploy\.log_key_file: .*10 bytes, 16 or more"):
        access.of(wanted)
    key.write_bytes(b"0123456789abcdef")
    assert access.of(wanted).tls is None
