"""Image names, what each image installs, and the Dockerfile agree with each other."""

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.image_requirements import EXTRAS, main, requirements
from components.images import COMPONENTS, image
from counterpoint import __version__
from counterpoint.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "components" / "Dockerfile").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
DIGEST = "sha256:" + "0123456789abcdef" * 4


def test_names():
    assert image("train") == f"counterpoint-train:{__version__}"
    assert image("data", registry="localhost", tag="1") == "localhost/counterpoint-data:1"
    assert image("serve", registry="host:5000/ml", tag="v2") == "host:5000/ml/counterpoint-serve:v2"
    assert image("monitor", registry="a.b/c", tag=DIGEST) == f"a.b/c/counterpoint-monitor@{DIGEST}"


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        ({"group": "gpu"}, "Known groups: data, train, serve, monitor"),
        ({"group": "train", "tag": "latest"}, "cannot be repeated"),
        ({"group": "train", "tag": ""}, "does not pin"),
        ({"group": "train", "tag": "a b"}, "does not pin"),
        ({"group": "train", "tag": "sha256:12"}, "does not pin"),
        ({"group": "train", "registry": "https://host/ml"}, "no prefix"),
        ({"group": "train", "registry": "host/ML"}, "no prefix"),
        ({"group": "train", "registry": "host/ml/"}, "no prefix"),
        ({"group": "train", "registry": "host/ml:1"}, "no prefix"),
    ],
)
def test_faults(arguments, fragment):
    with pytest.raises(ConfigError, match=re.escape(fragment)):
        image(**arguments)


def test_all_faults_at_once():
    with pytest.raises(ConfigError) as caught:
        image("gpu", registry="HOST/", tag="latest")
    assert len(caught.value.faults) == 3


@given(registry=st.text(max_size=20), tag=st.text(max_size=20))
def test_only_whole_references(registry, tag):
    """Whatever is accepted is one word that names the group and ends in its tag."""
    try:
        reference = image("train", registry=registry, tag=tag)
    except ConfigError:
        return
    assert re.fullmatch(r"([\w.:/-]+/)?counterpoint-train:[\w.-]+", reference, re.ASCII)


def test_every_component_has_its_image():
    files = (ROOT / "components").glob("*.py")
    steps = [path.stem for path in files if "@dsl.component(" in path.read_text("utf-8")]
    assert sorted(steps) == sorted(name for members in COMPONENTS.values() for name in members)
    for group, members in COMPONENTS.items():
        for name in members:
            code = (ROOT / "components" / f"{name}.py").read_text("utf-8")
            assert f'@dsl.component(base_image=image("{group}"), install_kfp_package=False)' in code


def test_the_dockerfile_has_every_target():
    targets = set(re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE))
    assert targets == {*COMPONENTS, "featureserver", "triton", "base", "model", "code"}
    installed = set(re.findall(r"sh /opt/build/install\.sh (\S+)", DOCKERFILE))
    assert installed == {*EXTRAS, "triton"}


def test_no_target_runs_as_root():
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    final = {stage.split()[2]: re.findall(r"^USER (\S+)$", stage, re.MULTILINE) for stage in stages}
    for name in {*COMPONENTS, "featureserver", "triton"}:
        assert final[name], name
        assert not final[name][-1].startswith(("0", "root")), name


@pytest.mark.parametrize("name", EXTRAS)
def test_everything_installed_is_locked(name):
    """The ranges come from pyproject.toml; the versions from the lock."""
    lock = (ROOT / "requirements" / "lock.txt").read_text("utf-8")
    locked = {_name(line) for line in lock.splitlines() if "==" in line}
    lines = requirements(name, PROJECT)
    assert lines
    assert {_name(line) for line in lines} <= locked


def test_gpu_replaces_onnxruntime():
    cpu = {_name(line) for line in requirements("model", PROJECT)}
    gpu = {_name(line) for line in requirements("model", PROJECT, accelerator="gpu")}
    assert cpu - gpu == {"onnxruntime"}
    assert gpu - cpu == {"onnxruntime-gpu"}
    assert requirements("data", PROJECT) == requirements("data", PROJECT, accelerator="gpu")


def test_a_missing_extra_is_named():
    project = {"project": {"dependencies": [], "optional-dependencies": {}}}
    with pytest.raises(ValueError, match="no extra \\['train'\\] for image 'model'"):
        requirements("model", project)


def test_command_line(capsys):
    main(["monitor", "--project", str(ROOT / "pyproject.toml")])
    assert "evidently" in capsys.readouterr().out


def test_nothing_secret_reaches_the_builder():
    """The build context is a list of what may enter, not of what may not."""
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    copied = re.findall(r"^COPY ([^-].*?) \S+$", DOCKERFILE.replace("\\\n", ""), re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    for source in sources:
        assert source in allowed or source.partition("/")[0] in allowed, source


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower().replace("_", "-")
