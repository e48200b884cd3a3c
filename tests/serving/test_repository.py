import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb
from tritonclient.utils import triton_to_np_dtype

from counterpoint import onnx_files
from counterpoint.config.serve import DeployConfig
from counterpoint.errors import DataError
from serving import model_options, repository
from serving.engine.text_encoder import TextEncoder

FORMS: tuple[repository.Form, ...] = ("local", "cluster")
ONNX_TYPES = {"TYPE_INT64": "tensor(int64)", "TYPE_FP32": "tensor(float)"}


@pytest.fixture(scope="module", params=FORMS)
def written(
    request: pytest.FixtureRequest,
    folders: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, Path]:
    target = tmp_path_factory.mktemp("repository") / "models"
    repository.write(
        folders["onnx"].parent,
        target,
        form=request.param,
        number=4,
        options={"version": "v4"},
        environment=Path("/opt/env"),
    )
    return request.param, target


def config(folder: Path, name: str) -> pb.ModelConfig:
    text = (folder / name / "config.pbtxt").read_text("utf-8")
    return text_format.Parse(text, pb.ModelConfig())


def test_every_model_is_written_with_its_number(written: tuple[str, Path]) -> None:
    form, folder = written
    assert {p.name for p in folder.iterdir()} == set(repository.specs())
    for name, spec in repository.specs().items():
        files = {p.name for p in (folder / name / "4").iterdir()}
        native = form == "cluster" and spec.onnx is not None
        assert ("model.onnx" in files) == (spec.onnx is not None)
        assert ("model.py" in files) == (not native)


def test_configurations_equal_the_onnx_graphs(written: tuple[str, Path]) -> None:
    _, folder = written
    for name, spec in repository.specs().items():
        if spec.onnx is None:
            continue
        graph = ort.InferenceSession(str(folder / name / "4" / "model.onnx"))
        found = config(folder, name)
        for ours, theirs in (
            (found.input, graph.get_inputs()),
            (found.output, graph.get_outputs()),
        ):
            assert [t.name for t in ours] == [t.name for t in theirs]
            for tensor, node in zip(ours, theirs, strict=True):
                assert ONNX_TYPES[pb.DataType.Name(tensor.data_type)] == node.type
                assert len(tensor.dims) == len(node.shape) - 1
                for size, dim in zip(tensor.dims, node.shape[1:], strict=True):
                    # A size that the graph fixes may be left open, never contradicted.
                    assert size in (-1, dim) or not isinstance(dim, int)
                assert not isinstance(node.shape[0], int)


def test_forms_agree_on_tensors_and_batching(folders: dict[str, Path], tmp_path: Path) -> None:
    for form in FORMS:
        repository.write(folders["onnx"].parent, tmp_path / form, form=form, number=1, options={})
    for name, spec in repository.specs().items():
        local, cluster = (config(tmp_path / form, name) for form in FORMS)
        assert list(local.input) == list(cluster.input)
        assert list(local.output) == list(cluster.output)
        assert local.max_batch_size == cluster.max_batch_size
        assert local.dynamic_batching == cluster.dynamic_batching
        assert local.backend == "python"
        assert cluster.backend == ("onnxruntime" if spec.onnx else "python")


def test_environment_is_named_only_where_a_shell_can_read_it(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    for environment, named in ((Path("/opt/env"), True), (Path("/opt/my env"), False)):
        target = tmp_path / str(named)
        repository.write(
            folders["onnx"].parent,
            target,
            form="local",
            number=1,
            options={},
            environment=environment,
        )
        assert ("EXECUTION_ENV_PATH" in config(target, "recommend").parameters) == named


def test_models_import_alone_in_the_triton_environment(
    written: tuple[str, Path], triton_env: Path
) -> None:
    """The repository needs nothing of the checkout: neither this project nor its packages."""
    form, folder = written
    for name, spec in repository.specs().items():
        if form == "cluster" and spec.onnx:
            continue
        program = (
            f"import sys; sys.path.insert(0, {str(folder / name / '4')!r})\n"
            f"import serving.models.{name} as m, serving.onnx_session\n"
            f"print(m.__file__); assert 'polars' not in sys.modules"
        )
        done = subprocess.run(
            [triton_env / "bin" / "python", "-I", "-c", program],
            capture_output=True,
            text=True,
            cwd=folder,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip().startswith(str(folder))


@pytest.mark.parametrize("form", FORMS)
def test_queues_have_the_rules_that_are_asked_for_and_only_pure_models_are_cached(
    folders: dict[str, Path], tmp_path: Path, form: repository.Form
) -> None:
    asked = DeployConfig(max_queued_requests=7, queue_timeout=0.25, priorities=True, instances=3)
    for name, wanted in (("plain", DeployConfig()), ("ruled", asked)):
        options = model_options.options(wanted, "v1")
        target = tmp_path / name
        repository.write(folders["onnx"].parent, target, form=form, number=1, options=options)
        for model, spec in repository.specs().items():
            found = config(target, model)
            batching = found.dynamic_batching
            policy = batching.default_queue_policy
            assert found.HasField("dynamic_batching")
            assert batching.max_queue_delay_microseconds == 0
            assert found.response_cache.enable == (model in {"encode", "item_encoder"})
            limits = (policy.max_queue_size, policy.default_timeout_microseconds)
            levels = (batching.priority_levels, batching.default_priority_level)
            count = found.instance_group[0].count
            if name == "plain":
                # Any rule of a queue has requests wait for each other (serving/limits.py).
                assert not batching.HasField("default_queue_policy") and levels == (0, 0)
                assert count == 1
            else:
                assert policy.timeout_action == pb.ModelQueuePolicy.REJECT
                assert policy.allow_timeout_override
                assert limits == (7, 250_000) and levels == (2, 1)
                assert count == (1 if spec.onnx else 3)


def test_graphs_are_warmed_up_with_values_they_can_run(written: tuple[str, Path]) -> None:
    form, folder = written
    for name, spec in repository.specs().items():
        found = config(folder, name)
        assert bool(found.model_warmup) == (form == "cluster" and spec.onnx is not None)
        for warm_up in found.model_warmup:
            feed = {}
            for tensor, value in warm_up.inputs.items():
                dtype = triton_to_np_dtype(pb.DataType.Name(value.data_type).removeprefix("TYPE_"))
                shape = (warm_up.batch_size, *value.dims)
                if value.input_data_file:
                    raw = (folder / name / "warmup" / value.input_data_file).read_bytes()
                    feed[tensor] = np.frombuffer(raw, dtype).reshape(shape)
                else:
                    feed[tensor] = np.zeros(shape, dtype)
            graph = ort.InferenceSession(str(folder / name / "4" / "model.onnx"))
            assert all(len(output) == 1 for output in graph.run(None, feed))


def test_a_warm_up_that_a_further_version_could_not_answer_is_left_out(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    first = folders["onnx"].parent
    repository.write(first, tmp_path / "models", form="cluster", number=1, options={})
    repository.add_number(first, tmp_path / "models", number=2)
    before = config(tmp_path / "models", "recommender")
    assert before.model_warmup
    other = tmp_path / "other"
    shutil.copytree(folders["onnx"], other / "onnx")
    contract = json.loads((other / "onnx" / "contract.json").read_text())
    contract["profile"].append("age=35-44")
    (other / "onnx" / "contract.json").write_text(json.dumps(contract))
    repository.add_number(other, tmp_path / "models", number=3)
    after = config(tmp_path / "models", "recommender")
    assert not after.model_warmup
    before.ClearField("model_warmup")
    assert after == before
    assert config(tmp_path / "models", "item_encoder").model_warmup


def test_versions_that_replace_each_other_share_no_cache(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    version, options = folders["onnx"].parent, model_options.options(DeployConfig(), "v1")
    for form in FORMS:
        target = tmp_path / form
        live = tmp_path / "live"
        repository.write(version, target, form=form, number=1, options=options, live=live)
        assert config(target, "encode").response_cache.enable == (form == "cluster")


def test_a_version_without_text_has_no_encoder(folders: dict[str, Path], tmp_path: Path) -> None:
    version = tmp_path / "version"
    shutil.copytree(folders["onnx"], version / "onnx")
    shutil.rmtree(version / "onnx" / "item_encoder")
    repository.write(version, tmp_path / "models", form="local", number=1, options={})
    assert {p.name for p in (tmp_path / "models").iterdir()} == {
        "catalogue",
        "recommend",
        "recommender",
        "rerank",
        "reranker",
        "similar",
    }


def test_a_missing_file_is_named_and_the_old_repository_stays(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    version = tmp_path / "version"
    shutil.copytree(folders["onnx"], version / "onnx")
    target = tmp_path / "models"
    repository.write(version, target, form="local", number=1, options={})
    before = sorted(str(p) for p in target.rglob("*"))
    (version / "onnx" / "users.sqlite").unlink()
    with pytest.raises(DataError, match=r"onnx/users\.sqlite"):
        repository.write(version, target, form="local", number=2, options={})
    assert sorted(str(p) for p in target.rglob("*")) == before
    assert {p.name for p in tmp_path.iterdir()} == {"version", "models"}


def test_a_version_of_another_contract_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    version = tmp_path / "version"
    shutil.copytree(folders["onnx"].parent, version)
    contract = json.loads((version / "onnx" / "contract.json").read_text("utf-8"))
    for old in ({**contract, "format": 2}, {k: v for k, v in contract.items() if k != "format"}):
        (version / "onnx" / "contract.json").write_text(json.dumps(old), "utf-8")
        with pytest.raises(DataError, match=r"contract of format (2|none).*serves format 3"):
            repository.write(version, tmp_path / "models", form="local", number=1, options={})
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("form", FORMS)
def test_an_encoder_in_two_files_is_served_from_both(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: repository.Form
) -> None:
    version = tmp_path / "version"
    shutil.copytree(folders["onnx"].parent, version)
    path = version / "onnx" / "item_encoder" / "model.onnx"
    feed = {"input_ids": np.array([[2, 3]]), "attention_mask": np.array([[1, 1]])}
    (wanted,) = ort.InferenceSession(str(path)).run(None, feed)
    plain = TextEncoder(path.parent)
    before = plain.sha256, plain.encode(["space drama"])
    monkeypatch.setattr(onnx_files, "MOST_BYTES", 1)
    monkeypatch.setattr(onnx_files, "SMALLEST", 1)
    onnx_files.save(onnx.load(path), path)
    assert onnx_files.is_split(path)
    shutil.move(version, tmp_path / "elsewhere")
    version = tmp_path / "elsewhere"
    repository.write(version, tmp_path / "models", form=form, number=4, options={"version": "v4"})
    repository.write_payload(version, made := tmp_path / "payload", form=form)
    served = [tmp_path / "models" / "item_encoder" / "4" / "model.onnx"]
    served += [made / "item_encoder" / "model.onnx"]
    shutil.rmtree(version)
    for graph in served:
        (found,) = ort.InferenceSession(str(graph)).run(None, feed)
        np.testing.assert_array_equal(found, wanted)
    live = TextEncoder(made / "item_encoder")
    np.testing.assert_array_equal(live.encode(["space drama"]), before[1])
    first = live.sha256
    onnx_files.beside(made / "item_encoder" / "model.onnx").write_bytes(b"other weights")
    assert len({before[0], first, TextEncoder(made / "item_encoder").sha256}) == 3
