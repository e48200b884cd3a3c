"""Wrong bytes on the HTTP ports and on the gRPC port."""

import http.client
import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

GRPC_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
INFER = "/v2/models/recommend/infer"
TIMEOUT = 20.0
REFUSED = range(400, 500)
READER = ("failed to parse the request JSON buffer", "Unable to parse '")
"""How the messages of Triton's own reader of JSON begin; it says 500 where 400 would be right."""


@dataclass(frozen=True)
class HttpCase:
    """A wrong HTTP request.

    Attributes:
        kind: What is wrong, for the report.
        method: GET, POST, …
        path: Of the server.
        body: As sent.
        headers: Beside the usual ones.
        fields: The refusal must name one of them (lower case), or anything.
        may_pass: It may be answered too.
    """

    kind: str
    method: str
    path: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    fields: Sequence[str] = ()
    may_pass: bool = False


def tritons(random: Random) -> HttpCase:
    """Return a wrong request to Triton's HTTP endpoint."""
    choice = random.randrange(9)
    if choice == 0:
        body = random.choice(
            (b"", b"{", b"[]", b"1", b"nul", b"\xff\xfe", b'{"inputs": }', b"\x00")
        )
        return HttpCase("HTTP: no JSON", "POST", INFER, body, fields=("json", "input"))
    if choice == 1:
        depth = random.choice((100, 1000, 50_000))
        opened = random.choice((b"[", b'{"a":'))
        return HttpCase("HTTP: nested", "POST", INFER, opened * depth, fields=("json", "input"))
    if choice == 2:
        body = json.dumps({"inputs": random.choice((5, "x", {}, [5], [[]], [{}], None))}).encode()
        names = ("input", "json", "name")
        return HttpCase("HTTP: wrong inputs", "POST", INFER, body, fields=names)
    if choice == 3:
        field = random.choice(("name", "shape", "datatype", "data"))
        tensor = {"name": "k", "shape": [1, 1], "datatype": "INT32", "data": [5]}
        tensor[field] = random.choice((None, {}, "x", -1, [[["x"]]], [1e999], 2**70, True))
        body = json.dumps({"inputs": [tensor]}).encode()
        fields = (field, "k", "json", "input")
        return HttpCase("HTTP: wrong tensor", "POST", INFER, body, fields=fields, may_pass=True)
    if choice == 4:
        tensor = {
            "name": "k",
            "shape": [1, 1],
            "datatype": "INT32",
            "data": [random.choice((0, 101))],
        }
        body = json.dumps({"inputs": [tensor]}).encode()
        return HttpCase("HTTP: k out of range", "POST", INFER, body, fields=("k",))
    if choice == 5:
        length = random.choice(("5", "-1", "x", "99999999999999999999", "0", "1e3"))
        headers = (("Inference-Header-Content-Length", length),)
        body = b'{"inputs": []}' + random.randbytes(20)
        return HttpCase(
            "HTTP: header length",
            "POST",
            INFER,
            body,
            headers,
            ("json", "header", "length", "input"),
        )
    if choice == 6:
        tensor = {"name": "user_id", "shape": [1, 1], "datatype": "BYTES"}
        size = random.choice((-1, 0, 3, 10**6, 2**63))
        tensor["parameters"] = {"binary_data_size": size}
        head = json.dumps({"inputs": [tensor]}).encode()
        headers = (("Inference-Header-Content-Length", str(len(head))),)
        fields = ("user_id", "binary", "size", "input", "json")
        return HttpCase("HTTP: binary size", "POST", INFER, head + b"abc", headers, fields)
    if choice == 7:
        path = random.choice(
            ("/v2/models/none/infer", "/v2/models/recommend/versions/99/infer", "/v2/x")
        )
        body = b'{"inputs": [{"name": "k", "shape": [1,1], "datatype": "INT32", "data": [5]}]}'
        return HttpCase("HTTP: no such path", "POST", path, body)
    method = random.choice(("GET", "PUT", "DELETE", "PATCH"))
    return HttpCase("HTTP: wrong method", method, INFER, b"")


def features(random: Random) -> HttpCase:
    """Return a wrong request to the feature server."""
    if random.random() < 0.5:
        users = random.choice((None, 5, "x", [], [5], [None], {}, ["x"] * 1001, ["\ud800"]))
        asked = {"service": random.choice(("recommender_v1", 5, "none")), "users": users}
        body = random.choice((json.dumps(asked).encode(), b"", b"[" * 50_000, b"\xff", b"[]", b"1"))
        names = ("users", "service", "body")
        return HttpCase("feature server: users", "POST", "/users", body, fields=names)
    event = {"user_id": "1", "item_id": "2", "when": "soon", "weight": [1]}
    event[random.choice(list(event))] = random.choice((None, 5, [], {}, "", "\x00"))
    body = random.choice((json.dumps({"events": [event]}).encode(), json.dumps([event]).encode()))
    body = random.choice((body, b"", b"{", b"[" * 50_000, b"\xff", b"{}", b"[]", b"[5]"))
    return HttpCase("feature server: events", "POST", "/events", body)


def ask(address: str, case: HttpCase) -> tuple[str, str | None]:
    """Send a case; return the status and what is wrong with the answer."""
    host, _, port = address.partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT)
    try:
        connection.request(case.method, case.path, case.body, dict(case.headers))
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__, f"no answer ({error!r})"
    finally:
        connection.close()
    status = f"HTTP {answer.status}"
    if answer.status in REFUSED:
        named = not case.fields or any(field in text.lower() for field in case.fields)
        return status, None if named else f"names no field: {text[:200]}"
    if answer.status == 500 and any(known in text for known in READER):
        return "HTTP 500 by Triton's reader of JSON", None
    if answer.status == 200 and case.may_pass:
        return status, None
    return status, f"status {answer.status}: {text[:200]}"


def raw_bytes(address: str, random: Random) -> tuple[str, str | None]:
    """Send bytes that are no gRPC to its port; it may close or say nothing."""
    host, _, port = address.partition(":")
    content = random.choice(
        (
            random.randbytes(random.randint(1, 500)),
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            GRPC_PREFACE + random.randbytes(100),
            # Frame heads with wrong lengths, kinds and streams.
            GRPC_PREFACE + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + random.randbytes(40),
            GRPC_PREFACE + b"\xff\xff\xff\x01\x05\x00\x00\x00\x01",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + random.randbytes(200),
            b"",
        )
    )
    try:
        with socket.create_connection((host, int(port)), timeout=TIMEOUT) as connection:
            connection.sendall(content)
            connection.settimeout(0.02)
            try:
                connection.recv(4096)
            except TimeoutError:
                return "no answer needed", None
    except ConnectionError:
        return "closed", None
    return "closed", None
