from pathlib import Path

import pytest

from counterpoint.config import Config, load
from counterpoint.errors import ConfigError


def test_later_files_and_overrides_win(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("train: {seed: 1, fit: {epochs: 3}}\n")
    second.write_text("train: {seed: 2}\n")
    config = load([first, second], ["train.fit.batch_size=8"])
    assert (config.train.seed, config.train.fit.epochs, config.train.fit.batch_size) == (2, 3, 8)


def test_an_option_of_a_plugin_adds_to_the_table_and_a_table_replaces_it(tmp_path: Path) -> None:
    added = load([], ["train.objectives.two_view.weight=0.1", "train.objectives.byol.weight=1"])
    assert added.train.objectives == {
        "info_nce": {},
        "two_view": {"weight": 0.1},
        "byol": {"weight": 1},
    }
    path = tmp_path / "alone.yaml"
    path.write_text("train: {objectives: {byol: {hidden: 8}}}\n")
    alone = load([path], ["train.objectives.byol.weight=0.2"])
    assert alone.train.objectives == {"byol": {"hidden": 8, "weight": 0.2}}
    replaced = load([path], ["train.objectives={moco: {}}", "train.objectives.moco.queue=9"])
    assert "moco" in replaced.train.objectives and replaced.train.objectives["moco"]["queue"] == 9


def test_every_fault_is_listed_at_once_with_the_known_names(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(
            [tmp_path / "absent.yaml"],
            ["trian.seed=1", "train.fit.epoch=2", "evaluate.k=0", "novalue"],
        )
    message = str(caught.value)
    assert len(caught.value.faults) == 5
    for part in ("absent.yaml", "'trian'", "'train.fit.epoch'", "epochs", "evaluate.k = 0"):
        assert part in message
    assert "'novalue'" in message


def test_a_broken_yaml_file_is_a_fault_not_a_stack_trace(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("train: [unclosed\n")
    with pytest.raises(ConfigError, match=r"broken\.yaml"):
        load([path])
    path.write_text("- a list\n")
    with pytest.raises(ConfigError, match="mapping"):
        load([path])


def test_nulls_survive_the_way_through_pipeline_parameters() -> None:
    from pipelines.training import sections

    config = load(overrides=["train.encoder.model=null", "monitor.window_end=null"])
    sent = sections(config)
    assert "None" not in str(sent)
    assert Config.model_validate(sent) == config


def test_floats_from_kubeflow_are_accepted_as_integers() -> None:
    def floats(value: object) -> object:
        if isinstance(value, bool):
            return value
        if isinstance(value, dict):
            return {key: floats(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [floats(inner) for inner in value]
        return float(value) if isinstance(value, int) else value

    config = Config()
    assert Config.model_validate(floats(config.model_dump(mode="json"))) == config


def test_every_field_is_documented() -> None:
    undocumented = []

    def walk(section: type, path: str) -> None:
        for name, field in section.model_fields.items():  # type: ignore[attr-defined]  # pydantic
            inner = field.annotation
            if isinstance(inner, type) and hasattr(inner, "model_fields"):
                walk(inner, f"{path}.{name}")
            elif not field.description:
                undocumented.append(f"{path}.{name}")

    walk(Config, "config")
    assert not undocumented


@pytest.mark.parametrize(
    "path",
    sorted(
        [
            *Path("pipelines/configs").glob("*.yaml"),
            *Path("k8s/overlays").glob("*/counterpoint.yaml"),
            *Path("examples").glob("*/config.yaml"),
        ]
    ),
    ids=str,
)
def test_shipped_configurations_are_good(path: Path) -> None:
    from pipelines.commands.config import plugin_faults

    assert plugin_faults(load([path])) == []
