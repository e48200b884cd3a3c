import pytest

from counterpoint import plugins
from counterpoint.errors import ConfigError


def test_an_unknown_plugin_is_answered_with_the_known_ones_and_the_file_to_create() -> None:
    with pytest.raises(ConfigError) as caught:
        plugins.load("counterpoint.objectives", "infonce")
    assert "info_nce" in str(caught.value)
    assert "counterpoint/objectives/infonce.py" in str(caught.value)


@pytest.mark.parametrize(
    "package",
    [
        "counterpoint.datasets",
        "counterpoint.objectives",
        "counterpoint.baselines",
        "counterpoint.metrics",
    ],
)
def test_every_plugin_imports_and_has_a_strict_config(package: str) -> None:
    found = plugins.names(package)
    assert found
    for name in found:
        module = plugins.load(package, name)
        config = getattr(module, "Config", None)
        if config is not None:
            assert config.model_config["extra"] == "forbid", name
