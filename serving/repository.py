"""Writes the Triton model repository of a version: one definition, a local and a cluster form.

Local: every model runs on the Python backend (the only one in the wheel's tritonserver), the ONNX
graphs inside it on onnxruntime. Cluster: the ONNX graphs run on Triton's own onnxruntime backend,
the fronts stay in Python. Names, tensors, dtypes and batching are the same in both.
"""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import polars as pl
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

import counterpoint
import serving
from counterpoint import artifacts, columns, plugins
from counterpoint.atomic import replaced_folder
from counterpoint.errors import DataError
from counterpoint.tables import read_json
from serving import limits
from serving.spec import BYTES, ModelSpec, Tensor

Form = Literal["local", "cluster"]

MODELS = "serving.models"

RUNTIME_FILES = (
    "counterpoint/__init__.py",
    "counterpoint/attributes.py",
    "counterpoint/user_snapshot.py",
    "serving/__init__.py",
    "serving/feature_server.py",
    "serving/fields.py",
    "serving/known_users.py",
    "serving/models/__init__.py",
    "serving/observe/__init__.py",
    "serving/observe/coverage.py",
    "serving/observe/impression_log.py",
    "serving/observe/meters.py",
    "serving/observe/observer.py",
    "serving/observe/pseudonyms.py",
    "serving/observe/request_log.py",
    "serving/observe/serving_observer.py",
    "serving/observe/trace_context.py",
    "serving/observe/triton_metrics.py",
    "serving/onnx_session.py",
    "serving/query.py",
    "serving/spec.py",
)
"""What the runtime parts import; copied into each Python model beside its own file."""

_SHELL_SAFE = re.compile(r"[\w./+-]+", re.ASCII)


def specs(version: Path | None = None) -> dict[str, ModelSpec]:
    """Return the specification of every served model by name, or of those a version has."""
    found = {name: plugins.load(MODELS, name).SPEC for name in plugins.names(MODELS)}
    return {
        name: spec
        for name, spec in found.items()
        if version is None or spec.requires is None or (version / spec.requires).exists()
    }


def write(
    version: Path,
    repository: Path,
    *,
    form: Form,
    number: int,
    options: Mapping[str, str],
    environment: Path | None = None,
) -> None:
    """Write the model repository of a version folder, replacing what is there in one step.

    Args:
        version: Version folder of the registry.
        repository: Folder to write; a kill leaves either the old or the new content.
        form: ``local`` or ``cluster``.
        number: Triton's version number.
        options: Parameters of the models: ``version``, ``feature_server``, …
        environment: Python environment of the local form (numpy<2, onnxruntime, tokenizers).

    Raises:
        DataError: The version folder lacks a file.
    """
    models = specs(version)
    wanted = {source for spec in models.values() for _, source in spec.files}
    wanted |= {spec.onnx for spec in models.values() if spec.onnx}
    missing = sorted(source for source in wanted if not (version / source).is_file())
    if missing:
        raise DataError(
            f"Version folder {version} lacks {', '.join(missing)}. A version holds what the export "
            f"stage wrote under onnx/; export the model again."
        )
    contract = read_json(version / "onnx" / artifacts.CONTRACT)
    with replaced_folder(repository) as target:
        for name, spec in models.items():
            native = form == "cluster" and spec.onnx is not None
            folder = target / name / str(number)
            folder.mkdir(parents=True)
            config = model_config(
                spec, contract, native=native, options=options, environment=environment
            )
            text = text_format.MessageToString(config)
            (target / name / "config.pbtxt").write_text(text, "utf-8")
            limits.write_warm_up(spec, target / name)
            if spec.onnx:
                shutil.copyfile(version / spec.onnx, folder / "model.onnx")
            if not native:
                _copy_runtime(name, folder)
            for file, source in spec.files:
                _copy(version / source, folder / file)


def model_config(
    spec: ModelSpec,
    contract: Mapping[str, Any],
    *,
    native: bool,
    options: Mapping[str, str],
    environment: Path | None = None,
) -> pb.ModelConfig:
    """Build config.pbtxt of one model.

    Args:
        spec: The model.
        contract: contract.json of the version: fixes the named dimensions.
        native: Run the ONNX graph on Triton's onnxruntime backend.
        options: Parameters of the model.
        environment: Python environment named in the configuration.
    """
    config = pb.ModelConfig(
        name=spec.name,
        backend="onnxruntime" if native else "python",
        max_batch_size=spec.max_batch_size,
        default_model_filename="model.onnx" if native else "model.py",
        dynamic_batching=limits.batching(options),
        response_cache=pb.ModelResponseCache(enable=limits.cached(spec, options)),
    )
    for tensor in spec.inputs:
        config.input.add(
            name=tensor.name,
            data_type=data_type(tensor),
            dims=dims(tensor, contract),
            optional=tensor.optional,
            allow_ragged_batch=spec.ragged,
        )
    for tensor in spec.outputs:
        config.output.add(
            name=tensor.name, data_type=data_type(tensor), dims=dims(tensor, contract)
        )
    config.model_warmup.extend(limits.warm_up(spec, config))
    if native:
        config.instance_group.add(count=1, kind=pb.ModelInstanceGroup.KIND_AUTO)
        config.parameters["intra_op_thread_count"].string_value = "1"
        return config
    config.instance_group.add(
        count=limits.instances(spec, options), kind=pb.ModelInstanceGroup.KIND_CPU
    )
    for key, value in options.items():
        config.parameters[key].string_value = value
    # Triton pastes this path unquoted into a shell command, so an unusual one is left to the PATH
    # that serving/server.py sets.
    if environment is not None and _SHELL_SAFE.fullmatch(str(environment)):
        config.parameters["EXECUTION_ENV_PATH"].string_value = str(environment)
    return config


def data_type(tensor: Tensor) -> int:
    """Return Triton's enum value of a tensor's dtype."""
    name = "STRING" if tensor.dtype == BYTES else tensor.dtype
    return int(pb.DataType.Value(f"TYPE_{name}"))


def dims(tensor: Tensor, contract: Mapping[str, Any]) -> list[int]:
    """Return the dimensions of a tensor without the batch, named sizes filled in."""
    sizes = {"profile": max(1, len(contract["profile"]))}
    return [sizes[dim] if isinstance(dim, str) else dim for dim in tensor.dims]


def _copy_runtime(name: str, folder: Path) -> None:
    roots = {"serving": Path(serving.__path__[0]), "counterpoint": Path(counterpoint.__path__[0])}
    for file in (*RUNTIME_FILES, f"serving/models/{name}.py"):
        package, _, rest = file.partition("/")
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(roots[package] / rest, target)
    shutil.copyfile(roots["serving"] / "backend" / "model.py", folder / "model.py")


def _copy(source: Path, target: Path) -> None:
    """Copy a file; the item table becomes JSON, because Triton's environment reads no Parquet."""
    if source.suffix == ".parquet" and target.suffix == ".json":
        items = pl.read_parquet(source, columns=[columns.ITEM, columns.TITLE])
        titles = items[columns.TITLE].fill_null(items[columns.ITEM])
        rows = {columns.ITEM: items[columns.ITEM].to_list(), columns.TITLE: titles.to_list()}
        target.write_text(json.dumps(rows, ensure_ascii=False), "utf-8")
    else:
        shutil.copyfile(source, target)
