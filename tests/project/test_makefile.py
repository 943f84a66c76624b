"""`make` with a Python that is too old, and after it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

pytestmark = pytest.mark.process

MAKEFILE: Final = Path(__file__).parents[2] / "Makefile"

BACKEND: Final = """
import zipfile

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(f"{wheel_directory}/p-1-py3-none-any.whl", "w") as wheel:
        metadata = ("Metadata-Version: 2.1", "Name: p", "Version: 1", "Provides-Extra: demo", "")
        wheel.writestr("p-1.dist-info/METADATA", "\\n".join(metadata))
        wheel.writestr("p-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("p-1.dist-info/RECORD", "")
    return "p-1-py3-none-any.whl"
"""
PROJECT: Final = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "p"
version = "1"

[project.optional-dependencies]
demo = []
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that needs nothing of a registry."""
    shutil.copy(MAKEFILE, tmp_path)
    (tmp_path / "constraints.txt").touch()
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "backend.py").write_text(BACKEND)
    return tmp_path


def executable(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def make(project: Path, python: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", ".venv/demo-installed", f"PYTHON={python}"],
        cwd=project,
        env={**os.environ, "MAKEFLAGS": "", "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_python_that_is_too_old_is_told_and_leaves_nothing_behind(project: Path) -> None:
    # Its `-c` runs what it is given, as 3.10 would.
    older = "import sys; sys.version_info = (3, 10, 13); exec(sys.argv[1])"
    made = make(project, executable(project / "python3.10", f'exec "{sys.executable}" -c "{older}" "$2"'))
    assert made.returncode == 2
    assert "needs Python 3.11 or newer" in made.stderr
    assert "make .venv/demo-installed PYTHON=python3.13" in made.stderr
    assert not (project / ".venv").exists()


def test_a_retry_with_another_python_replaces_what_an_older_one_has_left(project: Path) -> None:
    executable(project / ".venv" / "bin" / "python", "echo Python 3.9.1")
    made = make(project, sys.executable)
    assert made.returncode == 0, made.stderr
    version = subprocess.run([project / ".venv/bin/python", "-V"], capture_output=True, text=True, check=True).stdout
    assert version.split()[1] == sys.version.split()[0]
