"""The AI SDK's own chat, from npm and unchanged, against a live gateway."""

from typing import Any

import pytest

from tests.clients.conftest import run_node
from tests.support.gateways import ServedGateway

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("npm_packages"), pytest.mark.timeout(120)]

ANSWER = " ".join(f"w{number}" for number in range(20))


async def play(
    gateway: ServedGateway, sdk: int, name: str, *, interval_ms: int = 30
) -> tuple[str, list[dict[str, Any]]]:
    model = f"demo?text={ANSWER.replace(' ', '+')}&pieces=20&interval_ms={interval_ms}"
    body = {"provider": "openai", "model": model}
    played = await run_node("chat.mjs", {"sdk": sdk, "url": gateway.url, "body": body, "play": name})
    assert played["problems"] == []
    return played["status"], played["messages"]


@pytest.mark.parametrize("sdk", [6, 7])
@pytest.mark.parametrize(("name", "turns"), [("ask", 1), ("again", 1), ("reload", 1), ("late", 1), ("next", 2)])
async def test_an_answer_is_there_once_and_whole(live: ServedGateway, sdk: int, name: str, turns: int) -> None:
    status, messages = await play(live, sdk, name)
    assert status == "ready"
    assert [message["role"] for message in messages] == ["user", "assistant"] * turns
    for message in messages[1::2]:
        assert message["text"].split() == ANSWER.split()
        assert (await live.client.get(f"/v1/jobs/{message['id']}")).json()["state"] == "completed"


@pytest.mark.parametrize("sdk", [6, 7])
async def test_nothing_to_resume_is_no_error(live: ServedGateway, sdk: int) -> None:
    assert await play(live, sdk, "nothing") == ("ready", [])


@pytest.mark.parametrize("sdk", [6, 7])
async def test_a_stopped_answer_keeps_its_text(live: ServedGateway, sdk: int) -> None:
    status, (_, message) = await play(live, sdk, "stop", interval_ms=1_000)
    assert status == "ready"
    assert 0 < len(message["text"].split()) < 20
    assert (await live.client.get(f"/v1/jobs/{message['id']}")).json()["state"] == "cancelled"
