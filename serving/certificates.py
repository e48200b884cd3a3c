"""A private certificate authority with a server's and a client's certificate, to try TLS with.

For one machine or a test cluster. In production the certificates come from the organisation's own
authority (cert-manager, Vault); the server and the clients take theirs in the same way.
"""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from counterpoint.errors import ConfigError
from serving import tokens

FILES = ("ca.pem", "server.pem", "server.key", "client.pem", "client.key", "tokens")
DAYS = 365

_Key = ec.EllipticCurvePrivateKey


def write(folder: Path, *, names: Sequence[str] = ("localhost", "127.0.0.1")) -> None:
    """Write FILES into a folder; the authority's own key is not kept, so it signs nothing more.

    Args:
        folder: Made if absent, readable by its owner only.
        names: Host names and IP addresses under which clients reach the server.

    Raises:
        ConfigError: The folder holds one of the files already.
    """
    present = [name for name in FILES if (folder / name).exists()]
    if present:
        raise ConfigError(
            [f"{folder} holds {', '.join(present)} already. Remove them, or name another folder."]
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = ec.generate_private_key(ec.SECP256R1())
    issuer = _name("Counterpoint private authority")
    root = (
        _builder(issuer, issuer, authority)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(authority, hashes.SHA256())
    )
    _write_certificate(folder / "ca.pem", root)
    reached = x509.SubjectAlternativeName([_general(name) for name in names])
    for who, purpose, alternative in (
        ("server", ExtendedKeyUsageOID.SERVER_AUTH, reached),
        ("client", ExtendedKeyUsageOID.CLIENT_AUTH, None),
    ):
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(_name(f"Counterpoint {who}"), issuer, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        )
        if alternative is not None:
            builder = builder.add_extension(alternative, critical=False)
        _write_certificate(folder / f"{who}.pem", builder.sign(authority, hashes.SHA256()))
        _write_key(folder / f"{who}.key", key)
    tokens.write(folder / "tokens")


def _builder(subject: x509.Name, issuer: x509.Name, key: _Key) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A little in the past: clocks of two machines differ.
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=DAYS))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write_certificate(path: Path, certificate: x509.Certificate) -> None:
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _write_key(path: Path, key: _Key) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
