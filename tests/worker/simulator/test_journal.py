import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tailrace_worker.simulator import Scenario, Simulator
from tests.support.simulator_clients import openai_deltas, read


def asked(model: str, *, stream: bool = True) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Hi"}], "stream": stream}


@asynccontextmanager
async def session(simulator: Simulator, **headers: str) -> AsyncGenerator[aiohttp.ClientSession, None]:
    async with aiohttp.ClientSession(simulator.url, headers={"authorization": "Bearer test", **headers}) as session:
        yield session


async def test_the_journal_is_served_and_cleared(simulator: Simulator) -> None:
    await read(openai_deltas, simulator, "demo?pieces=2")
    await read(openai_deltas, simulator, "demo?pieces=2")
    async with session(simulator) as client:
        async with client.get("/journal") as response:
            first, second = await response.json()
        assert (first["api"], first["model"], first["status"]) == ("openai-chat", "demo?pieces=2", 200)
        assert (first["attempt"], second["attempt"]) == (1, 2)
        assert (first["pieces_sent"], first["outcome"]) == (2, "complete")
        assert first["opened_at"] <= first["closed_at"] <= second["opened_at"]
        assert first["opened_monotonic_ms"] <= first["closed_monotonic_ms"] <= second["opened_monotonic_ms"]
        async with client.delete("/journal") as response:
            assert response.status == 204
        async with client.get("/journal") as response:
            assert await response.json() == []
    await read(openai_deltas, simulator, "demo?pieces=2")
    assert simulator.journal.entries[0].attempt == 1


async def test_health_is_served(simulator: Simulator) -> None:
    async with session(simulator) as client, client.get("/health") as response:
        assert response.status == 200


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize("path", ["/", "/v1", "/v1/"])
async def test_a_connection_can_be_warmed_up_without_a_trace(simulator: Simulator, method: str, path: str) -> None:
    reused: list[object] = []
    trace = aiohttp.TraceConfig()

    async def note(*reuse: object) -> None:
        reused.append(reuse)

    trace.on_connection_reuseconn.append(note)
    headers = {"authorization": "Bearer test"}
    async with aiohttp.ClientSession(simulator.url, headers=headers, trace_configs=[trace]) as client:
        async with client.request(method, path) as response:
            await response.read()
        async with client.post("/v1/chat/completions", json=asked("demo?pieces=1")) as response:
            await response.read()
    assert len(reused) == 1
    assert [entry.attempt for entry in simulator.journal.entries] == [1]


async def test_the_header_tells_the_scenario_in_place_of_the_model(simulator: Simulator) -> None:
    scenario = {"x-tailrace-simulate": "text=from+the+header&interval_ms=0"}
    async with (
        session(simulator, **scenario) as client,
        client.post("/v1/chat/completions", json=asked("demo?pieces=3", stream=False)) as response,
    ):
        answer = await response.json()
    assert answer["choices"][0]["message"]["content"] == "from the header"


@pytest.mark.parametrize("options", ["interval_ms=60000", "first_token_ms=60000", "stall_after=0"])
async def test_a_client_that_leaves_is_noticed_while_nothing_is_sent(simulator: Simulator, options: str) -> None:
    async with (
        session(simulator) as client,
        client.post("/v1/chat/completions", json=asked(f"demo?{options}")) as response,
    ):
        assert response.status == 200
    # Long before it would write the next time.
    async with asyncio.timeout(5):
        await simulator.journal.until(lambda entry: entry.outcome == "client_closed")


async def test_a_client_that_leaves_while_it_waits_for_a_whole_answer_is_noticed(simulator: Simulator) -> None:
    async with session(simulator) as client:
        request = asyncio.create_task(
            client.post("/v1/chat/completions", json=asked("demo?first_token_ms=60000", stream=False)).__aenter__()
        )
        await simulator.journal.until(lambda entry: entry.outcome == "open")
        request.cancel()
        await simulator.journal.until(lambda entry: entry.outcome == "client_closed")


async def test_a_client_that_leaves_in_mid_stream_is_noticed(simulator: Simulator) -> None:
    async with aclosing(openai_deltas(simulator, "demo?pieces=1000000&interval_ms=1")) as deltas:
        for _ in range(10):
            await anext(deltas)
    entry = await simulator.journal.until(lambda entry: entry.outcome == "client_closed")
    assert 10 <= entry.pieces_sent < 1_000_000


@pytest.mark.parametrize("interval_ms", ["0", "0.01"])
@pytest.mark.slow
async def test_a_client_that_does_not_read_holds_its_stream_up(simulator: Simulator, interval_ms: str) -> None:
    pieces = 1_000_000
    async with (
        session(simulator) as client,
        client.post("/v1/chat/completions", json=asked(f"demo?pieces={pieces}&interval_ms={interval_ms}")) as response,
    ):
        (entry,) = simulator.journal.entries
        sent = -1
        # Each round is a whole stream of another client, in which this one could have gone on.
        while sent < entry.pieces_sent:
            sent = entry.pieces_sent
            await read(openai_deltas, simulator, "demo?pieces=200&interval_ms=1")
        assert 0 < sent < pieces / 2
        async for _ in response.content:
            if entry.pieces_sent > sent:
                break
    await simulator.journal.until(lambda entry: entry.outcome == "client_closed")


async def test_what_is_open_when_the_simulator_ends_is_told_from_clients_that_left() -> None:
    async with Simulator() as simulator, session(simulator) as client:
        await client.post("/v1/chat/completions", json=asked("demo?stall_after=0"))
        await simulator.journal.until(lambda entry: entry.outcome == "stalled")
        await simulator.__aexit__(None, None, None)
        assert simulator.journal.entries[0].outcome == "shut_down"


@pytest.mark.slow
async def test_many_streams_at_once_each_get_their_own_text(simulator: Simulator) -> None:
    models = [f"demo?pieces={30 + number}&interval_ms={number % 4}" for number in range(12)]
    texts = await asyncio.gather(*(read(openai_deltas, simulator, model) for model in models))
    assert [text for text, _ in texts] == [Scenario.parse(model).text_sent for model in models]
