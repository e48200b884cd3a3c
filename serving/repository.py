"""Writes the Triton model repository of a version: one definition, a local and a cluster form.

Local: every model runs on the Python backend (the only one in the wheel's tritonserver), the ONNX
graphs inside it on onnxruntime. Cluster: the ONNX graphs run on Triton's own onnxruntime backend,
the fronts stay in Python. Names, tensors, dtypes and batching are the same in both.
"""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import polars as pl
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from counterpoint import artifacts, columns, onnx_files, plugins
from counterpoint.atomic import replaced_folder
from counterpoint.errors import DataError
from counterpoint.tables import read_json
from serving import limits, runtime_files
from serving.engine import item_table
from serving.spec import BYTES, ModelSpec, Tensor

Form = Literal["local", "cluster"]

MODELS = "serving.models"

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
    live: Path | None = None,
) -> None:
    """Write the model repository of a version folder, replacing what is there in one step.

    Args:
        version: Version folder of the registry.
        repository: Folder to write; a kill leaves either the old or the new content.
        form: ``local`` or ``cluster``.
        number: Triton's version number.
        options: Parameters of the models: ``version``, ``feature_server``, …
        environment: Python environment of the local form (numpy<2, onnxruntime, tokenizers).
        live: Folder that says which versions to serve (serving/engine/live_folder.py); none: this
            version alone, from files beside each model.

    Raises:
        DataError: The version folder lacks a file.
    """
    models = check(version)
    graph = {"number": str(number), "graph": "bls" if form == "cluster" else "in_process"}
    options = {**graph, **options}
    if live is not None:
        options["live"] = str(live.absolute())
        if form == "local":
            # Versions replace each other under one number, by which the cache tells them apart.
            options["response_cache"] = "false"
    with replaced_folder(repository) as target:
        for name, spec in models.items():
            native = form == "cluster" and _is_native(spec, version)
            folder = target / name / str(number)
            folder.mkdir(parents=True)
            config = model_config(spec, native=native, options=options, environment=environment)
            if native:
                limits.add_warm_up(spec, config, target / name, _sizes(version))
            text = text_format.MessageToString(config)
            (target / name / "config.pbtxt").write_text(text, "utf-8")
            # Locally the graphs are in the payload that each version of a live folder has.
            if spec.onnx and (form == "cluster" or live is None):
                _write_graph(spec, version, folder)
            if not native:
                runtime_files.copy(name, folder)
            if live is None:
                write_files(spec, version, folder, form=form)


def add_number(version: Path, repository: Path, *, number: int) -> None:
    """Add a further version of the graphs to a repository of the cluster form.

    Raises:
        DataError: The version folder lacks a file, or only one of the versions has an index.
    """
    for name, spec in check(version).items():
        path = repository / name / "config.pbtxt"
        if not spec.onnx or not path.is_file():
            continue
        config = text_format.Parse(path.read_text("utf-8"), pb.ModelConfig())
        native = _is_native(spec, version)
        if native != (config.backend == "onnxruntime"):
            raise DataError(
                f"{version} and the champion cannot be served beside each other: only one of them "
                f"has a catalogue large enough for an index (export.max_exact_items). Promote it "
                f"without a canary or shadow."
            )
        if not limits.warms_up(spec, config, _sizes(version)):
            # It would fail, and with it the version.
            config.ClearField("model_warmup")
            path.write_text(text_format.MessageToString(config), "utf-8")
        with replaced_folder(repository / name / str(number)) as folder:
            _write_graph(spec, version, folder)
            if not native:
                runtime_files.copy(name, folder)


def _sizes(version: Path) -> limits.Sizes:
    """Return the sizes of a version's tensors that have names."""
    contract = read_json(version / "onnx" / artifacts.CONTRACT)
    return {"profile": max(1, len(contract["profile"]))}


def _is_native(spec: ModelSpec, version: Path) -> bool:
    """Whether Triton's onnxruntime backend can run it: it knows nothing of an index."""
    indexed = any((version / source).is_dir() for _, source in spec.folders)
    return spec.onnx is not None and not indexed


def _write_graph(spec: ModelSpec, version: Path, folder: Path) -> None:
    """Write the graph of a model, and what lies beside it, into a folder of Triton's."""
    if spec.onnx:
        _copy_graph(version / spec.onnx, folder / "model.onnx")
    _copy_folders(spec, version, folder)


def _copy_graph(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    if onnx_files.is_split(source):
        # Under the name that the graph itself gives.
        beside = onnx_files.beside(source)
        shutil.copyfile(beside, target.with_name(beside.name))


def _copy_folders(spec: ModelSpec, version: Path, folder: Path) -> None:
    for name, source in spec.folders:
        if (version / source).is_dir():
            shutil.copytree(version / source, folder / name, dirs_exist_ok=True)


def write_payload(version: Path, folder: Path, *, form: Form) -> None:
    """Write what all models read of a version into one folder.

    Args:
        version: Version folder of the registry.
        folder: Folder to write to; exists.
        form: In the cluster form, graphs are left to Triton's own backend.

    Raises:
        DataError: The version folder lacks a file.
    """
    for spec in check(version).values():
        write_files(spec, version, folder, form=form)
        if form == "local" and spec.onnx:
            target = folder / Path(spec.onnx).relative_to("onnx")
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                _copy_graph(version / spec.onnx, target)


def write_files(spec: ModelSpec, version: Path, folder: Path, *, form: Form) -> None:
    """Write what a model reads of a version.

    Args:
        spec: The model.
        version: Version folder of the registry.
        folder: Folder to write to; exists.
        form: In the cluster form, fronts have no graphs of their own.
    """
    present = [pair for pair in spec.optional_files if (version / pair[1]).is_file()]
    for file, source in (*spec.files, *present, *(spec.graphs if form == "local" else ())):
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        # All models of a payload share its files.
        if not target.exists():
            _copy(version / source, target)
    if form == "local":
        _copy_folders(spec, version, folder)


def check(version: Path) -> dict[str, ModelSpec]:
    """Return the models of a version folder.

    Raises:
        DataError: It lacks a file, or was exported for another release.
    """
    models = specs(version)
    wanted = {source for spec in models.values() for _, source in spec.files}
    wanted |= {source for spec in models.values() for _, source in spec.graphs}
    wanted |= {spec.onnx for spec in models.values() if spec.onnx}
    missing = sorted(source for source in wanted if not (version / source).is_file())
    if missing:
        raise DataError(
            f"Version folder {version} lacks {', '.join(missing)}. A version holds what the export "
            f"stage wrote under onnx/; export the model again."
        )
    contract = read_json(version / "onnx" / artifacts.CONTRACT)
    if contract.get("format") != artifacts.CONTRACT_FORMAT:
        raise DataError(
            f"Version folder {version} has a contract of format {contract.get('format', 'none')}; "
            f"this release serves format {artifacts.CONTRACT_FORMAT}. Export the model again."
        )
    return models


def model_config(
    spec: ModelSpec,
    *,
    native: bool,
    options: Mapping[str, str],
    environment: Path | None = None,
) -> pb.ModelConfig:
    """Build config.pbtxt of one model.

    Args:
        spec: The model.
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
            dims=dims(tensor),
            optional=tensor.optional,
            allow_ragged_batch=spec.ragged,
        )
    for tensor in spec.outputs:
        config.output.add(name=tensor.name, data_type=data_type(tensor), dims=dims(tensor))
    if native:
        config.instance_group.add(count=1, kind=pb.ModelInstanceGroup.KIND_AUTO)
        config.parameters["intra_op_thread_count"].string_value = "1"
        # Every version that a pointer names has its number (serving/pod_repository.py).
        config.version_policy.all.SetInParent()
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


def dims(tensor: Tensor) -> list[int]:
    """Return the dimensions of a tensor without the batch.

    A named size is free: versions of different sizes are served beside each other under one
    configuration.
    """
    return [-1 if isinstance(dim, str) else dim for dim in tensor.dims]


def _copy(source: Path, target: Path) -> None:
    """Copy a file; the item table is rewritten, because Triton's environment reads no Parquet."""
    if source.suffix != ".parquet" or target.suffix == ".parquet":
        shutil.copyfile(source, target)
        return
    items = pl.read_parquet(source)
    window = {
        name: items[name].dt.epoch("us").to_list()
        for name in (columns.AVAILABLE_FROM, columns.AVAILABLE_UNTIL)
        if name in items.columns and items[name].dtype.is_temporal()
    }
    table = item_table.table(
        items[columns.ITEM].to_list(),
        titles=items[columns.TITLE].to_list(),
        attributes=items[columns.ATTRIBUTES].to_list(),
        **window,
    )
    item_table.write(target, table)
