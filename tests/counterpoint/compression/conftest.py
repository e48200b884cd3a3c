from pathlib import Path

import pytest

from tests.counterpoint.compression import encoders


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A features folder and a model folder."""
    return encoders.trained(tmp_path_factory.mktemp("compressed"))
