"""Release of a gated model: its monitoring reference, then the registry and the smoke test."""

import tempfile
from pathlib import Path

from counterpoint.config import DeployConfig
from counterpoint.monitoring.champion import write_reference
from serving import deploy


def release(
    config: DeployConfig,
    *,
    onnx: Path,
    model: Path,
    evaluation: Path,
    features: Path,
    decision: Path | None = None,
) -> deploy.DeployResult:
    """Deploy a version together with the snapshot that monitoring will compare with.

    Args:
        config: Registry, Triton environment, smoke test.
        onnx: Folder of the exported graphs.
        model: Folder of the model.
        evaluation: Folder of the evaluation.
        features: Folder the model was trained from.
        decision: Folder of the gate; a decision to hold is obeyed.

    Raises:
        QualityError: The gate holds the model or the smoke test failed; the champion stays.
        ServerError: The scratch server did not start; the champion stays.
    """
    with tempfile.TemporaryDirectory(prefix="counterpoint-release-") as scratch:
        reference = Path(scratch) / "reference"
        write_reference(features, model, evaluation, reference)
        return deploy.run(
            config,
            onnx=onnx,
            model=model,
            evaluation=evaluation,
            features=features,
            decision=decision,
            reference=reference,
        )
