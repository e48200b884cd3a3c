"""Pip requirements of each image, read from the extras of pyproject.toml.

Runs inside the image build before the project is copied there, so it needs only the standard
library: ``python image_requirements.py model --accelerator gpu > model.txt``.
"""

import argparse
import re
import sys
import tomllib
from pathlib import Path
from typing import Final

EXTRAS: Final = {
    "base": ("pipelines",),
    "data": ("data",),
    "model": ("train",),
    "serve": ("serve",),
    "monitor": ("monitor",),
    "featureserver": ("data",),
}
"""Stage of the Dockerfile -> extras it adds; ``base`` has the core dependencies too, ``model`` is
beneath train, serve and monitor."""


def requirements(image: str, project: dict[str, object], *, accelerator: str = "cpu") -> list[str]:
    """Requirement lines of an image.

    Args:
        image: One of ``EXTRAS``.
        project: The parsed pyproject.toml.
        accelerator: ``gpu`` takes onnxruntime-gpu in place of onnxruntime: both own the same Python
            module, so they cannot be installed together.

    Raises:
        ValueError: If pyproject.toml lacks an extra of the image.
    """
    table = project["project"]
    extras = table["optional-dependencies"]  # type: ignore[index]  # TOML
    missing = [extra for extra in EXTRAS[image] if extra not in extras]
    if missing:
        raise ValueError(
            f"pyproject.toml has no extra {missing} for image {image!r}; it has {sorted(extras)}. "
            "Add the extra or change EXTRAS."
        )
    lines = list(table["dependencies"]) if image == "base" else []  # type: ignore[index]  # TOML
    lines += [line for extra in EXTRAS[image] for line in extras[extra]]
    if accelerator == "gpu":
        replaced = {_name(line) for line in extras["gpu"]}
        lines = [line for line in lines if f"{_name(line)}-gpu" not in replaced] + [
            line for line in extras["gpu"] if _name(line).removesuffix("-gpu") in map(_name, lines)
        ]
    return sorted(set(lines))


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower()


def main(arguments: list[str] | None = None) -> None:
    """Print the requirement lines of one image."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("image", choices=sorted(EXTRAS))
    parser.add_argument("--accelerator", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--project", type=Path, default=Path("pyproject.toml"))
    options = parser.parse_args(arguments)
    project = tomllib.loads(options.project.read_text(encoding="utf-8"))
    sys.stdout.write(
        "\n".join(requirements(options.image, project, accelerator=options.accelerator)) + "\n"
    )


if __name__ == "__main__":
    main()
