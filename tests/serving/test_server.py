"""The real tritonserver, over gRPC."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException

from counterpoint.config.serve import DeployConfig
from counterpoint.errors import DataError, ServerError, SetupError
from serving import repository
from serving.client import RecommendClient
from serving.deploy import DeployResult
from serving.in_process import InProcess
from serving.server import Ports, TritonServer
from tests.serving import tiny
from tests.serving.test_recommend import ask

CASES: list[dict[str, Any]] = [
    {"user": "anna"},
    {"user": "бо́рис", "history": ["日本", "🎬"], "positive": [True, False], "k": 20},
    {"history": ["with space", "nope"], "exclude": ["a", "gone"]},
    {"attributes": ["age=31", "colour=red"], "k": 1},
    {"user": "nobody"},
    {"user": "everything", "k": 20},
    {},
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_server_answers_as_the_models_do_in_this_process(
    client: RecommendClient, local: InProcess, case: dict[str, Any]
) -> None:
    names = {"user": "user_id", "positive": "history_positive"}
    expected = ask(local, **{names.get(name, name): value for name, value in case.items()})
    answer = client.recommend(**case)
    assert [item.item_id for item in answer.items] == expected["item_id"]
    assert [item.title for item in answer.items] == expected["title"]
    np.testing.assert_allclose([item.score for item in answer.items], expected["score"], atol=1e-5)
    reasons = [[name for name in row if name] for row in expected["reason"]]
    assert [list(item.reasons) for item in answer.items] == reasons
    assert [answer.source] == expected["source"]
    assert list(answer.unknown_items) == expected["unknown_item"]
    assert list(answer.unknown_attributes) == expected["unknown_attribute"]
    assert not answer.degraded


def test_the_answer_names_the_version_of_the_registry(
    client: RecommendClient, deployed: tuple[DeployConfig, DeployResult]
) -> None:
    assert client.recommend(user="anna").model_version == deployed[1].version


@pytest.mark.parametrize(
    ("case", "field"),
    [
        ({"k": 0}, "k: 0"),
        ({"k": 10**12}, "k: "),
        ({"attributes": ["age"]}, "attributes: 'age'"),
        ({"history": ["a"], "positive": [True, False]}, "history_positive: shape"),
        ({"history": [3]}, "history: "),
        ({"user": "lone surrogate \ud800"}, "user_id: "),
    ],
)
def test_bad_input_names_the_field(
    client: RecommendClient, case: dict[str, Any], field: str
) -> None:
    with pytest.raises(DataError, match=field):
        client.recommend(**case)
    assert client.recommend(user="anna").items


def infer(server: TritonServer, outputs: tuple[str, ...] = (), **tensors: tuple[Any, str]) -> Any:
    """What a person with plain tritonclient writes."""
    inputs = []
    for name, (array, dtype) in tensors.items():
        inputs.append(grpc.InferInput(name, list(array.shape), dtype))
        inputs[-1].set_data_from_numpy(array)
    plain = grpc.InferenceServerClient(server.url)
    try:
        wanted = [grpc.InferRequestedOutput(name) for name in outputs] or None
        return plain.infer("recommend", inputs, outputs=wanted, client_timeout=30)
    finally:
        plain.close()


def test_plain_tritonclient_may_leave_inputs_out(server: TritonServer) -> None:
    history = np.array([["a", "ünï"]], dtype=object)
    answer = infer(server, history=(history, "BYTES"))
    assert answer.as_numpy("item_id").shape == (1, 10)
    assert answer.as_numpy("reason").shape == (1, 10, 3)


def test_only_what_is_wanted_is_sent(server: TritonServer) -> None:
    whole = infer(server, user_id=(np.array([["anna"]], dtype=object), "BYTES"))
    part = infer(
        server, outputs=("score", "item_id"), user_id=(np.array([["anna"]], dtype=object), "BYTES")
    )
    assert {tensor.name for tensor in part.get_response().outputs} == {"item_id", "score"}
    for name in ("item_id", "score"):
        np.testing.assert_array_equal(part.as_numpy(name), whole.as_numpy(name))
    assert len(whole.get_response().outputs) == 12


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"user_id": (np.array([[b"\xff"]], dtype=object), "BYTES")}, "user_id: .* UTF-8"),
        ({"k": (np.array([[3]], np.int64), "INT64")}, "'k'"),
        ({"history": (np.array([b"a"], dtype=object), "BYTES")}, "'history'"),
        ({"histroy": (np.array([[b"a"]], dtype=object), "BYTES")}, "'histroy'"),
    ],
)
def test_wrong_tensors_are_invalid_arguments(
    server: TritonServer, tensors: dict[str, tuple[Any, str]], message: str
) -> None:
    with pytest.raises(InferenceServerException, match=message) as caught:
        infer(server, **tensors)
    assert "INVALID_ARGUMENT" in str(caught.value.status())


def test_many_callers_at_once_get_their_own_answers(
    server: TritonServer, client: RecommendClient
) -> None:
    """Requests of different shapes share executions, and some of them are wrong."""
    cases = [c | {"k": k} for c in CASES for k in (1, 7)]
    alone = [client.recommend(**case) for case in cases]

    def work(worker: int) -> None:
        with RecommendClient(server.url, timeout=30) as own:
            for index in range(30):
                place = (worker * 7 + index) % len(cases)
                answer = own.recommend(**cases[place])
                ids = [item.item_id for item in answer.items]
                assert ids == [item.item_id for item in alone[place].items]
                if index % 5 == 0:
                    with pytest.raises(DataError, match="k: 0"):
                        own.recommend(user="anna", k=0)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))


def test_the_recommender_graph_is_served_too(server: TritonServer, local: InProcess) -> None:
    inputs = {
        "history": np.array([[1, 2, 0], [4, 0, 0]]),
        "history_age": np.zeros((2, 3), np.float32),
        "history_kind": np.array([[1, 1, 0], [1, 0, 0]]),
        "profile": np.zeros((2, len(tiny.PROFILE)), np.float32),
        "exclude": np.array([[12], [0]]),
        "allow": np.array([[0, 0], [7, 9]]),
        "k": np.array([[4], [2]]),
    }
    expected = local.call("recommender", inputs, ["item", "score", "reason", "taste"])
    dtypes = {"history_age": "FP32", "profile": "FP32"}
    sent = []
    for name, array in inputs.items():
        sent.append(grpc.InferInput(name, list(array.shape), dtypes.get(name, "INT64")))
        sent[-1].set_data_from_numpy(array)
    plain = grpc.InferenceServerClient(server.url)
    answer = plain.infer("recommender", sent, client_timeout=30)
    plain.close()
    for name, value in expected.items():
        np.testing.assert_array_equal(answer.as_numpy(name), value)


def test_the_encoder_answers(client: RecommendClient, local: InProcess) -> None:
    text = np.array([[b"space drama"]], dtype=object)
    expected = local.call("encode", {"text": text}, ["vector"])["vector"][0]
    np.testing.assert_allclose(client.encode("space drama"), expected, atol=1e-6)


def test_nobody_else_can_connect(server: TritonServer) -> None:
    """The server listens on the loopback interface only."""
    tables = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
    listening = [line for t in tables if t.exists() for line in t.read_text().splitlines()[1:]]
    ports = {server.ports.grpc, server.ports.http, server.ports.metrics}
    found = {}
    for line in listening:
        address, port = line.split()[1].split(":")
        if line.split()[3] == "0A" and int(port, 16) in ports:
            found[int(port, 16)] = address.removeprefix("0000000000000000FFFF0000")
    assert found == dict.fromkeys(ports, "0100007F")


def test_no_server_and_a_slow_server_are_told_apart(server: TritonServer) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    with RecommendClient(address) as nobody, pytest.raises(ServerError, match="No server answers"):
        nobody.recommend()
    with RecommendClient(server.url) as client, pytest.raises(ServerError, match="within 1e-06 s"):
        client.recommend(timeout=1e-6)


def test_a_taken_port_is_a_setup_error(
    server: TritonServer, triton_env: Path, tmp_path: Path
) -> None:
    second = TritonServer(
        server.repository,
        environment=triton_env,
        log=tmp_path / "log",
        ports=Ports(grpc=server.ports.grpc),
    )
    with pytest.raises(SetupError, match=f"grpc port {server.ports.grpc} .* cannot be used"):
        second.__enter__()
    assert not second.running


def test_a_missing_environment_is_a_setup_error(server: TritonServer, tmp_path: Path) -> None:
    second = TritonServer(server.repository, environment=tmp_path / "no", log=tmp_path / "log")
    with pytest.raises(SetupError, match="make setup"):
        second.__enter__()


def test_an_environment_without_the_server_is_a_setup_error(
    server: TritonServer, tmp_path: Path
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    second = TritonServer(server.repository, environment=tmp_path / "bare", log=tmp_path / "log")
    with pytest.raises(SetupError, match=r"lacks numpy .*onnxruntime .*tokenizers"):
        second.__enter__()


def test_a_path_with_a_space_works(
    folders: dict[str, Path], triton_env: Path, tmp_path: Path
) -> None:
    """Triton itself cannot: it pastes paths into shell commands."""
    space = tmp_path / "a folder with space"
    space.mkdir()
    (space / "environment").symlink_to(triton_env)
    repository.write(
        folders["onnx"].parent,
        space / "models",
        form="local",
        number=1,
        options={"version": "v1"},
        environment=space / "environment",
    )
    server = TritonServer(
        space / "models", environment=space / "environment", log=space / "the log"
    )
    with server, RecommendClient(server.url, timeout=30) as client:
        assert client.recommend(user="anna").model_version == "v1"


def test_a_broken_model_ends_with_the_log(
    server: TritonServer, triton_env: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "models"
    shutil.copytree(server.repository, broken)
    for path in broken.glob("recommend/*/contract.json"):
        path.write_text("{}")
    second = TritonServer(broken, environment=triton_env, log=tmp_path / "log")
    with pytest.raises(ServerError, match="UnfitVersion"):
        second.__enter__()
    assert not second.running


def alive(marker: str) -> list[int]:
    """Process ids whose command line holds the marker."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes().decode("utf-8", "replace")
            except OSError:
                continue
            if marker in command:
                found.append(int(entry.name))
    return found


def test_the_server_ends_when_its_parent_is_killed(
    server: TritonServer, triton_env: Path, tmp_path: Path
) -> None:
    program = (
        "import sys, time; from pathlib import Path; from serving.server import TritonServer\n"
        "models, environment, log = map(Path, sys.argv[1:])\n"
        "s = TritonServer(models, environment=environment, log=log)\n"
        "s.__enter__(); print(s._scratch, flush=True); time.sleep(600)"
    )
    arguments = [str(server.repository), str(triton_env), str(tmp_path / "log")]
    command = [sys.executable, "-c", program, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        scratch = parent.stdout.readline().strip()
        assert scratch
        assert len(alive(scratch)) >= 3  # Supervisor, server, stubs.
        parent.send_signal(signal.SIGKILL)
    end = time.monotonic() + 60
    while alive(scratch) and time.monotonic() < end:
        time.sleep(0.1)
    assert alive(scratch) == []
    assert not list(Path("/dev/shm").glob(f"{Path(scratch).name}*"))
    assert not Path(scratch).exists()
