"""The light side stays light: what a service imports brings no worker, no provider SDK and nothing needless along."""

import ast
import importlib
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import tailrace
from tailrace.cli import main

HEAVY = {
    *(
        "aiohttp",
        "anthropic",
        "arq",
        "django",
        "dotenv",
        "fastapi",
        "ijson",
        "litestar",
        "openai",
        "phonenumbers",
        "pydantic_settings",
        "re2",
        "rich",
        "starlette",
        "stdnum",
    ),
    *("tailrace_worker", "uvloop"),
}

EVERYTHING = "from tailrace import *"


def loaded_by(program: str) -> set[str]:
    """The modules that an interpreter has loaded after the program, submodules and all."""
    command = [sys.executable, "-c", f"{program}\nimport sys; print(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, check=True, text=True).stdout.split())


@pytest.mark.process
@pytest.mark.parametrize(
    "program",
    [
        EVERYTHING,
        "import tailrace.asgi",
        "import tailrace.cli.app",
        "import tailrace.cli.commands.enqueue",
        "import tailrace.cli.commands.tail",
    ],
)
def test_importing_the_light_side_loads_no_worker_and_no_provider_sdk(program: str) -> None:
    loaded = loaded_by(program)
    assert "tailrace.errors" in loaded
    assert HEAVY & {name.partition(".")[0] for name in loaded} == set()


@pytest.mark.process
def test_the_import_by_itself_loads_nothing_of_ours_and_nothing_of_others() -> None:
    assert loaded_by("import tailrace") - loaded_by("import importlib, typing") == {"tailrace"}


@pytest.mark.process
def test_an_error_is_loaded_without_redis_and_pydantic() -> None:
    loaded = loaded_by("from tailrace import JobNotFound")
    assert "tailrace.errors" in loaded
    assert loaded & {"pydantic", "redis"} == set()


def test_every_public_name_is_what_the_type_checkers_take_it_for() -> None:
    tree = ast.parse(Path(tailrace.__file__).read_text(encoding="utf-8"))
    seen = {
        alias.name: getattr(importlib.import_module(node.module), alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tailrace.")
        for alias in node.names
    }
    assert {name: getattr(tailrace, name) for name in tailrace.__all__} == seen
    assert set(dir(tailrace)) >= set(tailrace.__all__)


def test_the_version_is_that_of_the_package_and_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert tailrace.__version__ == version("tailrace")
    assert capsys.readouterr().out == f"tailrace {tailrace.__version__}\n"


def test_a_name_that_is_none_is_told_as_of_any_module() -> None:
    with pytest.raises(ImportError, match="cannot import name 'Nonsense' from 'tailrace'"):
        exec("from tailrace import Nonsense", {})  # noqa: S102
