"""What the documentation shows runs as it stands: its Python, its commands, its links."""

import ast
import asyncio
import inspect
import json
import re
import secrets
import shlex
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from anyio.from_thread import start_blocking_portal
from sybil import Document, Example, Region, Sybil
from sybil.parsers.myst import CodeBlockParser, SkipParser

from tailrace import GenerationRequest, Settings, Tailrace
from tailrace.cli.app import build_parser
from tailrace.gateway import GatewaySettings
from tailrace.settings import variable_of
from tailrace_worker.settings import WorkerSettings
from tailrace_worker.simulator import Simulator
from tests.support.processes import worker_process

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts)
PYTHON: Final = [ROOT / "README.md", *(path for path in PAGES if "```python" in path.read_text())]
COMMANDS: Final = [path for path in PAGES if "$ tailrace" in path.read_text()]
BESIDE: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "benchmarks").glob("*.md")])

SHOWN_ONLY: Final = {"celery", "django"}
"""Pages show code for them, which runs where they are installed."""

TRIED: Final = {"cancel", "completion", "delete", "enqueue", "list", "regenerate", "status", "tail"}
"""The verbs that end by themselves."""

REQUEST: Final = GenerationRequest(
    provider="openai", model="demo?pieces=3&interval_ms=1", messages=[{"role": "user", "content": "Hi"}]
)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def run(example: Example) -> None:
    """Runs Python that may await at its top level, as a notebook does."""
    source = "\n" * (example.line + example.parsed.line_offset) + str(example.parsed)
    code = compile(source, example.path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    try:
        result = eval(code, example.namespace)  # noqa: S307
    except ModuleNotFoundError as error:
        if error.name not in SHOWN_ONLY:
            raise
        return
    if inspect.iscoroutine(result):
        example.namespace["runner"].run(result)


def note(example: Example) -> None:
    """Keeps the commands of a page, in their order."""
    commands = re.split(r"^\$ ", str(example.parsed), flags=re.MULTILINE)[1:]
    example.namespace.setdefault("commands", []).extend(map(str.strip, commands))


def parsed(path: Path) -> Document:
    parsers: list[Callable[[Document], Iterable[Region]]] = [
        CodeBlockParser("python", run),
        CodeBlockParser("console", note),
        SkipParser(),
    ]
    return Sybil(parsers=parsers, encoding="utf-8").parse(path)


def commands(path: Path) -> list[str]:
    document = parsed(path)
    for example in document.examples():
        if example.region.evaluator is not run:
            example.evaluate()
    return list(document.namespace.get("commands", []))


@asynccontextmanager
async def worker_and_simulator(settings: Settings) -> AsyncGenerator[None]:
    async with Simulator() as simulator, worker_process(settings, simulator):
        yield


@pytest.fixture(scope="module")
def standing(broker_url: str) -> Iterator[Settings]:
    """What the pages take for granted: a Redis, and a worker whose providers are the simulator, beside the test."""
    settings = Settings.read(redis_url=broker_url, prefix=f"test-{secrets.token_hex(6)}")
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(worker_and_simulator(settings)):
        yield settings


@pytest.fixture
def variables(standing: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILRACE_REDIS_URL", standing.redis_url)
    monkeypatch.setenv("TAILRACE_PREFIX", standing.prefix)


@pytest.mark.process
@pytest.mark.usefixtures("variables")
@pytest.mark.parametrize("path", PYTHON, ids=name)
def test_the_python_of_a_page_runs(path: Path, standing: Settings) -> None:
    document = parsed(path)
    with asyncio.Runner() as runner:
        tailrace = Tailrace.connect()
        document.namespace.update(runner=runner, tailrace=tailrace, request=REQUEST, prefix=standing.prefix)
        try:
            for example in document.examples():
                if example.region.evaluator is not note:
                    example.evaluate()
        finally:
            # A page may open one of its own, and leave its `async with` for the examples that follow.
            for opened in (tailrace, document.namespace["tailrace"]):
                runner.run(opened.aclose())
            if "client" in document.namespace:
                document.namespace["client"].close()


@pytest.mark.process
@pytest.mark.usefixtures("variables")
@pytest.mark.parametrize("path", COMMANDS, ids=name)
def test_the_commands_of_a_page_do_what_they_say(path: Path, tmp_path: Path) -> None:
    (tmp_path / "question.md").write_text("What do you see?")
    (tmp_path / "request.json").write_text(REQUEST.model_dump_json(exclude_defaults=True))
    (tmp_path / "mill.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    parser, _ = build_parser()
    job = "x" * 22
    for command in commands(path):
        words = [word.replace("JOB", job) for word in shlex.split(command, comments=True)]
        if words[0] != "tailrace":
            continue
        arguments = words[1 : words.index(">")] if ">" in words else words[1:]
        assert parser.parse_args(arguments).verb == arguments[0]
        if arguments[0] in TRIED:
            done = subprocess.run(
                [sys.executable, "-m", "tailrace", *arguments],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode in {0, 1}, (command, done.stderr)
            assert "Traceback" not in done.stderr
            if arguments[0] == "enqueue":
                (job,) = re.findall(r"^\S{22}$", f"{done.stdout}\n{done.stderr}", re.MULTILINE)[:1]


def test_every_variable_of_a_page_is_one_that_somebody_reads() -> None:
    texts = "".join(path.read_text() for path in [*PAGES, *BESIDE])
    found = set(re.findall(r"\bTAILRACE_[A-Z_]+[A-Z]\b", texts))
    assert {"TAILRACE_PROVIDERS", "TAILRACE_REDIS_URL"} <= found
    assert found <= set(map(variable_of, {**WorkerSettings.model_fields, **GatewaySettings.model_fields}))


@pytest.mark.slow
def test_every_setting_that_a_page_exports_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    exported = [
        tuple(word.split("=", 1))
        for path in PAGES
        for command in commands(path)
        if command.startswith("export ")
        for word in shlex.split(command)[1:]
    ]
    assert any(variable == "TAILRACE_PROVIDERS" and json.loads(value) for variable, value in exported)
    for variable, value in exported:
        monkeypatch.setenv(variable, value)
        WorkerSettings.read()


def test_every_target_that_a_page_makes_is_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {target for path in [*PAGES, *BESIDE] for target in re.findall(r"[`$] ?make ([a-z-]+)", path.read_text())}
    assert {"check", "demo", "docs", "test"} <= targets
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


@pytest.mark.parametrize("path", BESIDE, ids=name)
def test_every_link_beside_the_documentation_leads_somewhere(path: Path) -> None:
    # Sphinx checks those of the pages themselves.
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", path.read_text()):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", [*PAGES, *BESIDE], ids=name)
def test_every_address_is_one(path: Path) -> None:
    for address in re.findall(r"\]\((https?:[^)\s]*)\)", path.read_text()):
        assert re.fullmatch(r"https?://[a-z0-9-]+(\.[a-z0-9-]+)+(:\d+)?(/\S*)?", address), address


def test_every_part_of_the_repository_that_a_page_links_is_there() -> None:
    for path in [*PAGES, *BESIDE]:
        for target in re.findall(r"github\.com/tailrace/tailrace/(?:blob|tree)/main/([^)#\s]+)", path.read_text()):
            assert (ROOT / target).exists(), target
