"""Stage deploy: publish a version, try it in a scratch server, make it the champion."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from counterpoint import artifacts
from counterpoint.atomic import scratch_folder
from counterpoint.config.serve import DeployConfig
from counterpoint.errors import CounterpointError, DataError, QualityError
from counterpoint.tables import read_json
from serving import environment, repository, smoke
from serving.client import RecommendClient
from serving.in_process import InProcess
from serving.registry import Registry
from serving.server import TritonServer
from serving.smoke import Smoke
from serving.version import Version

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DeployResult:
    """Key figures of the stage.

    Attributes:
        version: The new champion.
        number: Its Triton version number.
        previous: The champion before it, if any.
        smoke: The smoke test.
        seconds: Duration.
    """

    version: str
    number: int
    previous: str | None
    smoke: Smoke
    seconds: float

    @property
    def figures(self) -> dict[str, float | str]:
        """Key figures."""
        return {
            "version": self.version,
            "number": self.number,
            "previous": self.previous or "none",
            "smoke_cases": len(self.smoke.cases),
            "smoke_ms": self.smoke.milliseconds,
            "smoke_score_difference": self.smoke.score_difference,
            "seconds": self.seconds,
        }


def run(
    config: DeployConfig,
    *,
    onnx: Path,
    model: Path,
    evaluation: Path,
    features: Path | None = None,
    decision: Path | None = None,
    reference: Path | None = None,
) -> DeployResult:
    """Publish, smoke-test and promote a version.

    The champion pointer moves last and in one step: whatever goes wrong before, a kill included,
    leaves the champion in service untouched.

    Args:
        config: Registry, Triton environment, smoke test.
        onnx: Folder of the export stage.
        model: Folder of the train stage.
        evaluation: Folder of the evaluate stage; its figures are shown with the version.
        features: Folder of the features stage, whose data hash is noted.
        decision: Folder of the gate stage; a decision to hold is obeyed.
        reference: Monitoring snapshot that is kept with the version.

    Raises:
        DataError: A folder is missing.
        QualityError: The gate holds the model, or the smoke test failed.
        ServerError: The scratch server did not start.
        SetupError: The Triton environment is missing.
    """
    started = time.monotonic()
    if decision is not None:
        _obey(decision)
    environment.inspect(Path(config.triton_env))
    registry = Registry(config.registry)
    folders = {"onnx": onnx, "model": model, "evaluation": evaluation}
    if reference is not None:
        folders[artifacts.REFERENCE] = reference
    champion = registry.champion()
    details = _details(onnx, model, evaluation, features)
    version = registry.publish(folders, details=details, why="deployed by the pipeline")
    logger.info("Published %s; trying it in a scratch server", version.version)
    try:
        tried = try_out(config, registry, version)
    except CounterpointError as error:
        registry.refuse(version.version, why=str(error))
        raise
    registry.promote(version.version, why=f"smoke test passed ({', '.join(tried.cases)})")
    logger.info("Champion is now %s", version.version)
    return DeployResult(
        version=version.version,
        number=version.number,
        previous=champion.version if champion else None,
        smoke=tried,
        seconds=round(time.monotonic() - started, 2),
    )


def try_out(config: DeployConfig, registry: Registry, version: Version) -> Smoke:
    """Run a version in a scratch server of its own and test its answers.

    The feature server is left out: the smoke test judges the version, not today's features.

    Raises:
        QualityError: An answer is wrong.
    """
    options = {"version": version.version}
    with (
        registry.open(version.version) as folder,
        scratch_folder("counterpoint-deploy") as scratch,
    ):
        models = scratch / "models"
        triton = Path(config.triton_env).absolute()
        repository.write(
            folder,
            models,
            form="local",
            number=version.number,
            options=options,
            environment=triton,
        )
        server = TritonServer(
            models,
            environment=triton,
            log=scratch / "tritonserver.log",
            start_timeout=config.start_timeout,
        )
        with server, RecommendClient(server.url, timeout=config.smoke_timeout) as client:
            expected = InProcess(models, number=version.number, options=options)
            return smoke.run(client, folder, expected)


def _obey(decision: Path) -> None:
    path = decision / artifacts.DECISION
    if not path.is_file():
        raise DataError(f"{decision} holds no {artifacts.DECISION}. Run the stage gate first.")
    decided = read_json(path)
    if not decided["promote"]:
        failed = [r["detail"] for r in decided["reasons"] if not r["passed"]]
        raise QualityError(
            f"The gate holds this model: {'; '.join(failed) or 'no reason given'}. Only a model "
            f"that the gate promotes is deployed."
        )


def _details(onnx: Path, model: Path, evaluation: Path, features: Path | None) -> Mapping[str, Any]:
    """Return what version.json tells of the version's origin."""
    found: dict[str, Any] = {}
    sources = {
        "contract": onnx / artifacts.CONTRACT,
        "model": model / artifacts.MODEL,
        "evaluation": evaluation / artifacts.EVALUATION,
    }
    if features is not None:
        sources["features"] = features / artifacts.FEATURES
    for name, path in sources.items():
        if not path.is_file():
            raise DataError(f"{path.parent} lacks {path.name}. Run the stage that writes it first.")
        found[name] = read_json(path)
    contract = found["contract"]
    details = {
        "graph_sha256": contract.get("model_sha256"),
        "n_items": contract["n_items"],
        "model": found["model"].get("report", {}),
        "evaluation": found["evaluation"],
    }
    if "features" in found:
        details["dataset"] = found["features"].get("dataset")
        details["features"] = found["features"].get("config")
    return details
