"""The environment of the local tritonserver: what it must hold, and what it lacks."""

import ctypes.util
import json
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

from counterpoint.errors import SetupError

GLIBC = (2, 35)
_MEND = "Run `make setup`, which builds it from requirements/triton.txt."

_PROBE = """
import importlib, json, sys, sysconfig
found = {}
for name in ("numpy", "onnxruntime", "tokenizers"):
    try:
        found[name] = importlib.import_module(name).__version__
    except Exception as error:
        found[name] = f"! {error!r}"
get = sysconfig.get_config_var
print(json.dumps({
    "python": "%d.%d" % sys.version_info[:2], "packages": found,
    "site": sysconfig.get_path("purelib"), "library": get("INSTSONAME") or "",
    "folders": [get("LIBDIR") or "", (get("LIBDIR") or "") + "/" + (get("MULTIARCH") or "")],
}))
"""


@dataclass(frozen=True)
class TritonEnvironment:
    """A usable environment.

    Attributes:
        root: The virtual environment.
        server: The tritonserver program.
        backend: Folder of the Python backend.
        stub: The backend's worker program for this Python version.
        libraries: Folder of the server's own shared libraries.
        python_library: Folder of libpython, or nothing when the system finds it by itself.
    """

    root: Path
    server: Path
    backend: Path
    stub: Path
    libraries: Path
    python_library: Path | None


def inspect(root: Path) -> TritonEnvironment:
    """Check a virtual environment and find what a launch needs.

    Raises:
        SetupError: Says what is missing and how to get it.
    """
    if platform.machine() != "x86_64" or platform.system() != "Linux":
        raise SetupError(
            f"The local tritonserver runs on Linux x86_64 only, this is {platform.system()} "
            f"{platform.machine()}. Deploy to a cluster, or use such a machine or container."
        )
    name, glibc = platform.libc_ver()
    if name == "glibc" and tuple(map(int, glibc.split(".")[:2])) < GLIBC:
        raise SetupError(
            f"The local tritonserver needs glibc {GLIBC[0]}.{GLIBC[1]} or newer, this system has "
            f"{glibc}. Use Debian 12, Ubuntu 22.04 or newer."
        )
    python = root / "bin" / "python"
    if not python.is_file():
        raise SetupError(f"The Triton environment {root} does not exist. {_MEND}")
    probe = subprocess.run([python, "-I", "-c", _PROBE], capture_output=True, text=True)
    if probe.returncode:
        raise SetupError(
            f"The Python of {root} does not run: {probe.stderr.strip()[-300:]}. Delete the folder. "
            f"{_MEND}"
        )
    facts = json.loads(probe.stdout)
    broken = [f"{n} ({v[2:]})" for n, v in facts["packages"].items() if v.startswith("! ")]
    if broken:
        raise SetupError(f"The Triton environment {root} lacks {', '.join(broken)}. {_MEND}")
    if int(facts["packages"]["numpy"].partition(".")[0]) >= 2:
        raise SetupError(
            f"The Triton environment {root} has numpy {facts['packages']['numpy']}; Triton's "
            f"Python backend needs numpy below 2. {_MEND}"
        )
    site = Path(facts["site"])
    triton = site / "pytriton" / "tritonserver"
    found = TritonEnvironment(
        root=root,
        server=triton / "bin" / "tritonserver",
        backend=triton / "backends" / "python",
        stub=triton / "python_backend_stubs" / facts["python"] / "triton_python_backend_stub",
        libraries=site / "nvidia_pytriton.libs",
        python_library=_python_library(facts),
    )
    for path in (found.server, found.backend, found.stub, found.libraries):
        if not path.exists():
            raise SetupError(
                f"The Triton environment {root} lacks {path.relative_to(site)} (package "
                f"nvidia-pytriton, Python {facts['python']}). {_MEND}"
            )
    return found


def _python_library(facts: dict[str, str]) -> Path | None:
    library = facts["library"] if ".so" in facts["library"] else ""
    for folder in facts["folders"]:
        if library and (Path(folder) / library).is_file():
            return Path(folder)
    if ctypes.util.find_library(f"python{facts['python']}"):
        return None
    raise SetupError(
        f"The shared library of Python {facts['python']} ({library or 'libpython'}) is missing, "
        f"and Triton's Python backend is linked with it. Install libpython{facts['python']} from "
        f"the system's packages, or use a Python built with --enable-shared."
    )
