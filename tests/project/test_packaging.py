"""What is built to be installed holds all that the packages read at run time."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Final

import pytest

pytest.importorskip("hatchling")

ROOT: Final = Path(__file__).parents[2]
DATA: Final = {
    file.relative_to(ROOT / "producer").as_posix() for file in (ROOT / "producer" / "tailrace").rglob("*.lua")
} | {"tailrace/py.typed"}


def build(target: str, directory: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(directory)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    (built,) = directory.iterdir()
    return built


def test_the_wheel_holds_the_scripts(tmp_path: Path) -> None:
    with zipfile.ZipFile(build("wheel", tmp_path)) as wheel:
        assert set(wheel.namelist()) >= DATA


def test_the_source_distribution_holds_the_scripts(tmp_path: Path) -> None:
    with tarfile.open(build("sdist", tmp_path)) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert names >= {f"producer/{name}" for name in DATA}
