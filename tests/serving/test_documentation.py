from pathlib import Path

from serving import repository
from serving.spec import Tensor

PAGE = Path(__file__).resolve().parents[2] / "docs" / "serving.md"


def row(tensor: Tensor) -> str:
    shape = ", ".join(map(str, tensor.dims))
    return f"| `{tensor.name}` | {tensor.dtype} | {shape} | {tensor.doc} |"


def test_the_tables_of_the_documentation_are_those_of_the_models() -> None:
    text = PAGE.read_text("utf-8")
    sections = {part.split("`", 1)[0]: part for part in text.split("### `")[1:]}
    specs = repository.specs()
    assert set(sections) == set(specs)
    for name, spec in specs.items():
        rows = [line for line in sections[name].splitlines() if line.startswith("| `")]
        assert rows == [row(tensor) for tensor in (*spec.inputs, *spec.outputs)]
