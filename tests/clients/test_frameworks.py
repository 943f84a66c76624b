"""Frameworks as clients of a live gateway, unchanged but for their base URL.

Each one asks models under each API that it speaks: a chat, a loop with a tool, and a stream. The tool gives its own
arguments back, and the simulated model answers with what the tool gave. So the last answer of a loop proves that the
arguments of the call arrived whole, and that the result went back to the provider.
"""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tailrace import Settings, Tailrace
from tailrace.gateway import create_app
from tailrace_worker.simulator import Scenario, Simulator
from tests.clients.conftest import run_node
from tests.support.gateways import gateway_settings, served
from tests.support.processes import worker_process
from tests.support.scripts import FRAMEWORKS, printed_json, programs_of

pytestmark = [pytest.mark.process, pytest.mark.timeout(240)]

MODEL = "demo?text=Because+of+water&interval_ms=1&reasoning=2&tools=1&tool_loop=1"
# Frameworks know these names. Each API is asked in front of its own protocol, and in front of another one.
MODELS = {
    "gpt-4o": {"provider": "openai", "model": MODEL},
    "gpt-4.1": {"provider": "openai-responses", "model": MODEL},
    "gpt-4o-mini": {"provider": "anthropic", "model": MODEL},
    "claude-sonnet-4-5": {"provider": "anthropic", "model": MODEL},
    "claude-haiku-4-5": {"provider": "openai", "model": MODEL},
}
CHAT = [("chat", "gpt-4o"), ("chat", "gpt-4o-mini")]
RESPONSES = [("responses", "gpt-4.1"), ("responses", "gpt-4o"), ("responses", "gpt-4o-mini")]
MESSAGES = [("messages", "claude-sonnet-4-5"), ("messages", "claude-haiku-4-5")]

(ARGUMENTS,) = Scenario.parse(MODEL).arguments
CALL: dict[str, Any] = json.loads(ARGUMENTS.text)
FOUND = "Found {number}: {words} {sign}".format(**CALL)
SAID = {"text": "Because of water", "output_tokens": 2 + 3}
ANSWERS = {
    "chat": SAID,
    "loop": {"text": FOUND, "output_tokens": 2 + 3 + len(ARGUMENTS) + 2 + len(FOUND.split())},
    "stream": SAID,
    "calls": [CALL],
}


@pytest.fixture
async def url(settings: Settings, tailrace: Tailrace) -> AsyncIterator[str]:
    """Of the gateway."""
    app = create_app(tailrace, gateway_settings(settings, models=MODELS))
    async with Simulator() as simulator, worker_process(settings, simulator), served(app) as gateway:
        yield gateway.url


def check(answers: list[dict[str, Any]], asked: list[tuple[str, str]]) -> None:
    for answer in answers:
        assert all(answer[name].pop("input_tokens") > 0 for name in ("chat", "loop", "stream"))
    assert dict(zip(asked, answers, strict=True)) == dict.fromkeys(asked, ANSWERS)


@pytest.mark.parametrize(
    ("framework", "environment", "asked"),
    [
        ("langchain", ".venv-frameworks", [*CHAT, *RESPONSES, *MESSAGES]),
        ("litellm", ".venv-frameworks", [*CHAT, *RESPONSES, *MESSAGES]),
        ("llama_index", ".venv-llama-index", [*CHAT, *RESPONSES, *MESSAGES]),
        ("openai_agents", ".venv-frameworks", [*CHAT, *RESPONSES]),
        ("pydantic_ai", ".venv-frameworks", [*CHAT, *RESPONSES, *MESSAGES]),
    ],
)
async def test_a_framework_chats_and_loops_and_streams(
    url: str, tmp_path: Path, framework: str, environment: str, asked: list[tuple[str, str]]
) -> None:
    command = (programs_of(environment) / "python", FRAMEWORKS / f"ask_{framework}.py")
    told = json.dumps({"url": url, "asked": asked})
    # With the developer's own variables, some frameworks would report to servers of theirs.
    alone = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "SSL_CERT_FILE": os.environ["SSL_CERT_FILE"]}
    printed, code = await printed_json(*command, told, cwd=tmp_path, environment=alone)
    assert code == 0
    check(printed["answers"], asked)


@pytest.mark.usefixtures("npm_packages")
async def test_the_ai_sdk_chats_and_loops_and_streams(url: str) -> None:
    asked = [*CHAT, *RESPONSES]
    printed = await run_node("ai_sdk_openai.mjs", {"url": url, "asked": asked})
    check(printed["answers"], asked)
