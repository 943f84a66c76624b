"""Every command, port and variable of docker-compose.yml exists in the code."""

import argparse
import asyncio
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
import yaml

from tailrace import Settings
from tailrace.cli.app import build_parser
from tailrace_worker.settings import WorkerSettings
from tailrace_worker.simulator import Simulator
from tests.support.processes import worker_process

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}


def parsed(command: list[str]) -> argparse.Namespace:
    parser, _ = build_parser()
    return parser.parse_args(command)


def dockerfile(service: dict[str, Any]) -> str:
    return str(service["build"]["dockerfile_inline"])


def test_the_services_are_those_that_the_guide_names() -> None:
    assert set(SERVICES) == {"redis", "worker", "simulator"}
    assert SERVICES["simulator"]["profiles"] == ["simulator"]
    assert "--appendonly" in SERVICES["redis"]["command"]


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_one_that_tailrace_understands(name: str) -> None:
    assert 'ENTRYPOINT ["tailrace"]' in dockerfile(OURS[name])
    assert parsed(OURS[name]["command"]).verb == OURS[name]["command"][0]


def test_the_simulators_port_is_the_one_that_is_published_and_written_down() -> None:
    port = parsed(SERVICES["simulator"]["command"]).port
    assert SERVICES["simulator"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert set(re.findall(r"http://simulator:(\d+)", (ROOT / "docker-compose.yml").read_text())) == {str(port)}


def test_every_variable_is_one_that_somebody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SERVICES["worker"]["environment"].items():
        if name.startswith("TAILRACE_"):
            assert name.removeprefix("TAILRACE_").lower() in WorkerSettings.model_fields
            monkeypatch.setenv(name, _default(str(value)))
        else:
            monkeypatch.setenv(name, _default(str(value)) or "key")
    assert WorkerSettings.read().redis_url == "redis://redis:6379/0"
    assert openai.AsyncOpenAI().api_key == "key"
    assert str(openai.AsyncOpenAI().base_url) == "https://api.openai.com/v1/"
    assert anthropic.AsyncAnthropic().api_key == "key"
    assert str(anthropic.AsyncAnthropic().base_url) == "https://api.anthropic.com"


def test_a_worker_gets_more_time_to_stop_than_it_gives_its_jobs() -> None:
    grace = float(_default(SERVICES["worker"]["environment"]["TAILRACE_GRACE_SECONDS"]))
    assert float(SERVICES["worker"]["stop_grace_period"].removesuffix("s")) > grace


def test_what_the_image_copies_is_there() -> None:
    copied = re.findall(r"^COPY (.*) \S+$", dockerfile(SERVICES["worker"]), re.MULTILINE)
    assert copied
    assert all((ROOT / name).exists() for line in copied for name in line.split())


@pytest.mark.process
async def test_the_recipe_for_the_simulator_works_as_it_is_written(settings: Settings) -> None:
    recipe = (ROOT / "docker-compose.yml").read_text().partition("services:")[0]
    exported = dict(re.findall(r"(\w+)=(\S+)", "".join(re.findall(r"export (.*)", recipe))))
    commands = re.findall(r"docker compose exec worker tailrace (.*)", recipe)
    assert commands
    environment = {
        name: exported.get(name, _default(str(value))) for name, value in SERVICES["worker"]["environment"].items()
    }
    assert set(exported) <= set(environment)
    async with Simulator() as simulator:
        hosts = {"http://simulator:4080": simulator.url, "redis://redis:6379/0": settings.redis_url}
        variables = {
            name: re.sub("|".join(hosts), lambda found: hosts[found[0]], value) for name, value in environment.items()
        }
        async with worker_process(settings, simulator, **variables):
            for command in commands:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "tailrace", *shlex.split(command)),
                    env={**os.environ, **variables, "TAILRACE_PREFIX": settings.prefix},
                    stdout=asyncio.subprocess.PIPE,
                )
                async with asyncio.timeout(30):
                    printed, _ = await process.communicate()
                assert (process.returncode, bool(printed)) == (0, True)


def _default(value: str) -> str:
    match = re.fullmatch(r"\$\{\w+:-(.*)\}", value)
    return match[1] if match else value
