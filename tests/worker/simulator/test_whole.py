"""Answers that are not streamed."""

import asyncio
import json
from typing import Any

import aiohttp
import anthropic
import openai
import pytest

from tailrace_worker.simulator import Simulator
from tests.support.simulator_clients import anthropic_client, openai_client

PATHS = ["chat/completions", "responses", "messages"]
every = pytest.mark.parametrize("path", PATHS)


async def posted(simulator: Simulator, path: str, options: str) -> tuple[int, bytes]:
    asked: dict[str, Any] = {"model": f"demo?{options}", "messages": [{}], "input": "Hi", "max_tokens": 1}
    async with (
        aiohttp.ClientSession(headers={"authorization": "Bearer test"}) as session,
        session.post(f"{simulator.url}/v1/{path}", json=asked) as response,
    ):
        return response.status, await response.read()


@every
@pytest.mark.slow
async def test_a_whole_answer_takes_as_long_as_a_streamed_one(simulator: Simulator, path: str) -> None:
    began = asyncio.get_running_loop().time()
    status, body = await posted(simulator, path, "pieces=10&interval_ms=15&first_token_ms=50&reasoning=2")
    assert asyncio.get_running_loop().time() - began >= 0.05 + 12 * 0.015
    assert status == 200
    assert "1. Water leaves" in json.dumps(json.loads(body))
    (entry,) = simulator.journal.entries
    assert (entry.outcome, entry.pieces_sent) == ("complete", 12)


@every
async def test_a_cut_resets_the_connection_before_the_body(simulator: Simulator, path: str) -> None:
    with pytest.raises(aiohttp.ClientOSError, match="reset"):
        await posted(simulator, path, "cut_after=2&interval_ms=1")
    (entry,) = simulator.journal.entries
    assert (entry.outcome, entry.pieces_sent) == ("cut", 0)


@every
async def test_an_early_end_closes_the_connection_before_the_body(simulator: Simulator, path: str) -> None:
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await posted(simulator, path, "close_after=2&interval_ms=1")
    assert simulator.journal.entries[0].outcome == "closed"


@every
async def test_a_malformed_answer_is_cut_in_half(simulator: Simulator, path: str) -> None:
    status, body = await posted(simulator, path, "malformed_after=2&interval_ms=1")
    assert status == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


@every
async def test_an_error_in_mid_stream_is_one_of_the_server_s(simulator: Simulator, path: str) -> None:
    status, body = await posted(simulator, path, "error_after=2&interval_ms=1&error_code=overloaded_error")
    assert status == 500
    assert json.loads(body)["error"]["type"] == "overloaded_error"
    assert simulator.journal.entries[0].outcome == "refused"


@every
async def test_a_stalled_answer_never_comes(simulator: Simulator, path: str) -> None:
    request = asyncio.create_task(posted(simulator, path, "stall_after=2&interval_ms=1"))
    async with asyncio.timeout(5):
        await simulator.journal.until(lambda entry: entry.outcome == "stalled")
        assert not request.done()
        request.cancel()
        await simulator.journal.until(lambda entry: entry.outcome == "client_closed")


async def test_a_fault_with_times_lets_a_later_request_succeed(simulator: Simulator) -> None:
    options = "cut_after=2&times=1&interval_ms=1"
    with pytest.raises(aiohttp.ClientOSError):
        await posted(simulator, "messages", options)
    status, _ = await posted(simulator, "messages", options)
    assert status == 200


async def test_the_sdks_tell_a_cut_from_an_answer(simulator: Simulator) -> None:
    model = "demo?cut_after=2&interval_ms=1"
    async with openai_client(simulator) as client:
        with pytest.raises(openai.APIConnectionError):
            await client.responses.create(model=model, input="Hi")
    async with anthropic_client(simulator) as other:
        with pytest.raises(anthropic.APIConnectionError):
            await other.messages.create(model=model, messages=[{"role": "user", "content": "Hi"}], max_tokens=64)
