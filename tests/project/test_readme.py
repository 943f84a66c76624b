"""What the README shows runs as it stands."""

import asyncio
import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from tailrace import Settings
from tailrace.cli import _parser  # pyright: ignore[reportPrivateUsage]
from tailrace_worker.simulator import Simulator
from tests.processes import worker_process

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^\$ tailrace ([^#\n]+)", README, re.MULTILINE)


def test_the_producer_of_the_readme_is_the_example() -> None:
    assert (ROOT / "examples" / "producer.py").read_text().partition("\n\n")[2] in README


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_one_that_tailrace_understands(command: str) -> None:
    parser, _ = _parser()
    assert parser.parse_args(shlex.split(command.replace("JOB", "x" * 22))).verb == command.split(maxsplit=1)[0]


@pytest.mark.parametrize("target", re.findall(r"`?make ([a-z-]+)", README))
def test_every_target_is_in_the_makefile(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", re.findall(r"\]\(([a-z][^):]+)\)", README))
def test_every_link_leads_somewhere(path: str) -> None:
    assert (ROOT / path).exists()


async def test_the_example_prints_an_answer(settings: Settings) -> None:
    async with Simulator() as simulator, worker_process(settings, simulator):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(ROOT / "examples" / "producer.py")),
            env={**os.environ, "TAILRACE_REDIS_URL": settings.redis_url, "TAILRACE_PREFIX": settings.prefix},
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(30):
            printed, _ = await process.communicate()
    job, *_, summary = printed.decode().splitlines()
    assert re.fullmatch(r"job \S{22}", job)
    assert re.fullmatch(r"stop \d+ tokens", summary)
