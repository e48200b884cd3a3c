from pathlib import Path

from counterpoint import plugins
from serving import repository
from serving.engine.rule_set import RULES
from serving.spec import Tensor

PAGE = Path(__file__).resolve().parents[2] / "docs" / "serving.md"


def row(tensor: Tensor) -> str:
    shape = ", ".join(map(str, tensor.dims))
    return f"| `{tensor.name}` | {tensor.dtype} | {shape} | {tensor.doc} |"


def test_the_tables_of_the_documentation_are_those_of_the_models() -> None:
    text = PAGE.read_text("utf-8")
    parts = [part.split("\n## ", 1)[0] for part in text.split("### `")[1:]]
    sections = {part.split("`", 1)[0]: part for part in parts}
    specs = repository.specs()
    assert set(sections) == set(specs)
    for name, spec in specs.items():
        rows = [line for line in sections[name].splitlines() if line.startswith("| `")]
        assert rows == [row(tensor) for tensor in (*spec.inputs, *spec.outputs)]


def test_every_rule_is_documented() -> None:
    section = PAGE.read_text("utf-8").split("## Rules of a request", 1)[1].split("\n## ", 1)[0]
    named = [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")]
    rules = {name: plugins.load(RULES, name) for name in plugins.names(RULES)}
    assert named == sorted(rules, key=lambda name: rules[name].ORDER)
