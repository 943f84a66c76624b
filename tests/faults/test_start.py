"""How a worker starts: not at all without a provider, and with nothing loaded that it does not need."""

import json
import os
import subprocess
import sys
from typing import Final

import pytest

from tailrace import Settings

NAMED: Final = {"acme": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "key_variable": "ACME_KEY"}}

_LOADED: Final = """
import asyncio, sys
from tailrace_worker.settings import WorkerSettings
from tailrace_worker.app import open_generations

async def main():
    async with open_generations(WorkerSettings.read()) as generations:
        print(*sorted({"anthropic", "openai"} & sys.modules.keys()), "|", *generations.calls.usable)

asyncio.run(main())
"""


def environment(settings: Settings, **variables: str) -> dict[str, str]:
    """Without any key of the machine's."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "ANTHROPIC_", "TAILRACE_"))
    }
    ours = {"TAILRACE_REDIS_URL": settings.redis_url, "TAILRACE_PREFIX": settings.prefix, "NO_PROXY": "127.0.0.1"}
    return {**inherited, **ours, **variables}


@pytest.mark.parametrize("options", [(), ("--processes", "2")])
@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({}, ["OPENAI_API_KEY is not set", "ANTHROPIC_API_KEY is not set"]),
        ({"OPENAI_API_KEY": " ", "ANTHROPIC_API_KEY": ""}, ["OPENAI_API_KEY is not set"]),
        ({"TAILRACE_PROVIDERS": json.dumps(NAMED)}, ["acme cannot be called: ACME_KEY is not set"]),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "localhost:80"}, ["OPENAI_BASE_URL is not a URL that begins with"]),
    ],
)
def test_a_worker_that_can_call_no_provider_does_not_start_and_names_the_variables(
    variables: dict[str, str], told: list[str], options: tuple[str, ...], settings: Settings
) -> None:
    command = [sys.executable, "-m", "tailrace.cli", "worker", *options]
    ended = subprocess.run(
        command, env=environment(settings, **variables), capture_output=True, text=True, check=False, timeout=50
    )
    assert ended.returncode == 2
    for problem in told:
        assert problem in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "runs jobs" not in ended.stderr


@pytest.mark.parametrize(
    ("variables", "loaded"),
    [
        ({"OPENAI_API_KEY": "k"}, "openai | openai openai-responses"),
        ({"ANTHROPIC_API_KEY": "k"}, "anthropic | anthropic"),
        ({"TAILRACE_PROVIDERS": json.dumps(NAMED), "ACME_KEY": "k"}, "openai | acme"),
        ({"TAILRACE_PROVIDERS": json.dumps(NAMED), "ANTHROPIC_API_KEY": "k"}, "anthropic | anthropic"),
        ({"OPENAI_API_KEY": "k", "ANTHROPIC_AUTH_TOKEN": "k"}, "anthropic openai | openai openai-responses anthropic"),
        ({"ANTHROPIC_CONFIG_DIR": "/nowhere"}, "anthropic | "),
        ({}, " | "),
    ],
)
def test_only_the_sdks_of_the_providers_that_can_be_called_are_loaded(
    variables: dict[str, str], loaded: str, settings: Settings
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _LOADED],
        env=environment(settings, **variables),
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    assert ended.stdout.split() == loaded.split()
