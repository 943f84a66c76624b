"""What the README shows runs as it stands."""

import asyncio
import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from tailrace import Settings
from tailrace.cli.app import build_parser
from tailrace_worker.simulator import Simulator
from tests.support.processes import worker_process

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^\$ tailrace ([^#\n]+)", README, re.MULTILINE)


def test_the_producer_of_the_readme_is_the_example() -> None:
    assert (ROOT / "examples" / "producer.py").read_text().partition("\n\n")[2] in README


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_one_that_tailrace_understands(command: str) -> None:
    parser, _ = build_parser()
    assert parser.parse_args(shlex.split(command.replace("JOB", "x" * 22))).verb == command.split(maxsplit=1)[0]


@pytest.mark.parametrize("target", re.findall(r"`?make ([a-z-]+)", README))
def test_every_target_is_in_the_makefile(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", re.findall(r"\]\(([a-z][^):]+)\)", README))
def test_every_link_leads_somewhere(path: str) -> None:
    assert (ROOT / path).exists()


async def printed_by(example: str, settings: Settings) -> list[str]:
    async with Simulator() as simulator, worker_process(settings, simulator):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(ROOT / "examples" / example)),
            env={**os.environ, "TAILRACE_REDIS_URL": settings.redis_url, "TAILRACE_PREFIX": settings.prefix},
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(30):
            printed, _ = await process.communicate()
    return printed.decode().splitlines()


@pytest.mark.process
async def test_the_example_prints_an_answer(settings: Settings) -> None:
    job, *_, summary = await printed_by("producer.py", settings)
    assert re.fullmatch(r"job \S{22}", job)
    assert re.fullmatch(r"stop \d+ tokens", summary)


@pytest.mark.process
async def test_the_example_prints_three_endings_and_two_answers(settings: Settings) -> None:
    *endings, first, second = await printed_by("parallel.py", settings)
    assert sorted(ending[0] for ending in endings) == ["0", "1", "2"]
    assert all(re.fullmatch(r"\d completed after \d+ ms: (good|warn|bad)", ending) for ending in endings)
    assert all(re.fullmatch(r"stop \d+ tokens", summary) for summary in (first, second))
