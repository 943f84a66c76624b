"""What is built to be installed is complete, and describes itself."""

import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Final

import pytest

pytestmark = pytest.mark.process

pytest.importorskip("hatchling")
pytest.importorskip("hatch_fancy_pypi_readme")

ROOT: Final = Path(__file__).parents[2]
DATA: Final = {
    file.relative_to(ROOT / "producer").as_posix()
    for file in (
        *(ROOT / "producer" / "tailrace").rglob("*.lua"),
        *(ROOT / "producer" / "tailrace" / "gateway" / "page").rglob("*.*"),
    )
} | {"tailrace/py.typed"}


def build(target: str, directory: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(directory)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    (built,) = directory.iterdir()
    return built


def test_the_wheel_holds_the_scripts_and_the_page(tmp_path: Path) -> None:
    with zipfile.ZipFile(build("wheel", tmp_path)) as wheel:
        assert set(wheel.namelist()) >= DATA


def test_all_links_of_the_readme_work_on_the_package_index(tmp_path: Path) -> None:
    with zipfile.ZipFile(build("wheel", tmp_path)) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
        described = wheel.read(name).decode()
    targets = re.findall(r"\]\(([^)]+)\)", described)
    repository = "https://github.com/tailrace/tailrace/blob/main/"
    pictures = "https://raw.githubusercontent.com/tailrace/tailrace/main/"
    assert f"{repository}docs/quickstart.md" in targets
    assert f"{pictures}docs/images/data-flow.svg" in targets
    for target in targets:
        assert target.startswith((repository, pictures))
        assert (ROOT / target.removeprefix(repository).removeprefix(pictures)).exists()


def test_the_source_distribution_holds_the_scripts_and_the_page(tmp_path: Path) -> None:
    with tarfile.open(build("sdist", tmp_path)) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert names >= {f"producer/{name}" for name in DATA}


def test_each_npm_package_of_the_tests_has_one_version_and_no_address() -> None:
    packages = json.loads((ROOT / "tests" / "node" / "package.json").read_text())["dependencies"]
    assert packages
    for name, version in packages.items():
        assert re.fullmatch(r"(npm:[@a-z0-9/-]+@)?\d+\.\d+\.\d+", version), (name, version)
    assert not list((ROOT / "tests" / "node").glob("*lock*"))
