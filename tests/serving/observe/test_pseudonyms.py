import hashlib
import hmac
from pathlib import Path

import pytest

from serving.observe.pseudonyms import Pseudonyms, from_file

KEY = b"0123456789abcdef"


def test_the_pseudonym_is_an_hmac_under_the_key(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY + b"\n")
    expected = hmac.digest(KEY, "ünï".encode(), hashlib.sha256).hex()[:32]
    assert Pseudonyms(KEY).of("ünï") == from_file(str(tmp_path / "key")).of("ünï") == expected


def test_without_a_key_two_processes_cannot_be_joined() -> None:
    first, second = Pseudonyms(), Pseudonyms()
    assert first.of("anna") == first.of("anna") != second.of("anna")
    assert first.of("anna") != first.of("bert")


def test_nobody_has_no_pseudonym() -> None:
    assert Pseudonyms().of("") == ""


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match=r"3 bytes, 16 or more .*`openssl rand"):
        Pseudonyms(b"abc")
