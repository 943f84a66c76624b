"""OpenAI's own client for Python, unchanged but for the base URL, and its Responses."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses import Response, ResponseStreamEvent

from tailrace import KeyLimits, Settings, Tailrace
from tailrace.gateway import create_app
from tailrace_worker.simulator import Scenario, Simulator
from tests.producer.gateway.conftest import gateway
from tests.support.eventually import eventually
from tests.support.gateways import ServedGateway, gateway_settings, served
from tests.support.processes import WorkerProcess, worker_process

__all__ = ["gateway"]  # a fixture

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

QUICK = {"TAILRACE_LEASE_SECONDS": "2", "TAILRACE_MAX_ATTEMPTS": "20"}
SHORT = "openai/demo?pieces=6&interval_ms=1"
LONG = "openai/demo?pieces=2000&interval_ms=20"
ENDS = {"completed", "failed", "incomplete", "cancelled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The gateway with a client of it, and what is behind it."""

    gateway: ServedGateway
    client: AsyncOpenAI
    simulator: Simulator
    worker: WorkerProcess

    @property
    def calls(self) -> list[str]:
        """The models of the calls of the provider."""
        return [entry.model for entry in self.simulator.journal.entries]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client would ask a proxy of the environment."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def client_of(gateway: ServedGateway, api_key: str = "any") -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=api_key, max_retries=0)


@pytest.fixture
async def stage(settings: Settings, tailrace: Tailrace) -> AsyncIterator[Stage]:
    """One gateway and one worker in front of the simulator."""
    app = create_app(tailrace, gateway_settings(settings, gateway_leave_seconds=0))
    async with (
        Simulator() as simulator,
        worker_process(settings, simulator, **QUICK) as worker,
        served(app) as gateway,
        client_of(gateway) as client,
    ):
        yield Stage(gateway=gateway, client=client, simulator=simulator, worker=worker)


def text_of(model: str) -> str:
    return Scenario.parse(model).text_sent


async def ended(client: AsyncOpenAI, response_id: str) -> Response:
    """Asks again and again, as OpenAI's guide does."""
    found: list[Response] = []

    async def has_ended() -> bool:
        found[:] = [await client.responses.retrieve(response_id)]
        return found[0].status in ENDS

    await eventually(has_ended)
    return found[0]


async def rest(client: AsyncOpenAI, response_id: str, after: int | None = None) -> list[ResponseStreamEvent]:
    options: dict[str, Any] = {} if after is None else {"starting_after": after}
    async with await client.responses.retrieve(response_id, stream=True, **options) as events:
        return [event async for event in events]


def final(events: list[ResponseStreamEvent]) -> Response:
    last: Any = events[-1]
    response: Response = last.response
    return response


async def test_a_response_is_whole_however_it_is_asked_for(stage: Stage) -> None:
    responses = stage.client.responses
    for provider in ("openai", "anthropic"):
        model = f"{provider}/demo?reasoning=3&pieces=6&interval_ms=1"
        whole = await responses.create(model=model, input="Why?", metadata={"a": "b"})
        async with await responses.create(model=model, input="Why?", stream=True) as events:
            streamed = final([event async for event in events])
        async with responses.stream(model=model, input="Why?") as helper:
            helped = await helper.get_final_response()
        for response in (whole, streamed, helped):
            assert (response.status, response.output_text) == ("completed", text_of(model))
            assert response.usage is not None
            assert response.model == model
        assert whole.metadata == {"a": "b"}
        assert await responses.retrieve(whole.id) == whole


async def test_a_background_response_is_read_from_each_number(stage: Stage) -> None:
    responses = stage.client.responses
    model = "openai/demo?pieces=6&interval_ms=30&tools=2"
    created = await responses.create(model=model, input="Why?", background=True)
    assert (created.status, created.background) == ("queued", True)
    live = await rest(stage.client, created.id)
    assert [event.sequence_number for event in live] == list(range(len(live)))
    for number in range(len(live)):
        assert await rest(stage.client, created.id, number) == live[number + 1 :]
    response = await ended(stage.client, created.id)
    assert response == final(live)
    async with responses.stream(response_id=created.id, starting_after=3) as helper:
        assert [event.sequence_number async for event in helper if event.sequence_number > 3]


async def test_to_leave_a_background_response_does_not_cancel_it(stage: Stage) -> None:
    model = "openai/demo?pieces=40&interval_ms=20"
    async with await stage.client.responses.create(model=model, input="Why?", background=True, stream=True) as events:
        created: Any = await anext(aiter(events))
    assert (await ended(stage.client, created.response.id)).output_text == text_of(model)


async def test_to_leave_any_other_response_cancels_it(stage: Stage) -> None:
    async with await stage.client.responses.create(model=LONG, input="Why?", stream=True) as events:
        created: Any = await anext(aiter(events))
    assert (await ended(stage.client, created.response.id)).status == "cancelled"
    waiting = asyncio.create_task(stage.client.responses.create(model=LONG, input="Why?"))
    await stage.simulator.journal.until(lambda entry: entry.attempt == 2)
    waiting.cancel()
    await stage.simulator.journal.until(lambda entry: entry.attempt == 2 and entry.closed_at is not None)


async def test_a_cancelled_response_keeps_its_text_and_can_be_deleted(stage: Stage) -> None:
    responses = stage.client.responses
    created = await responses.create(model=LONG, input="Why?", background=True)
    reading = asyncio.create_task(rest(stage.client, created.id))
    await stage.simulator.journal.until(lambda entry: entry.model == LONG.removeprefix("openai/"))
    cancelled = await responses.cancel(created.id)
    assert cancelled.status == "cancelled"
    assert await responses.cancel(created.id) == cancelled
    events = await reading
    assert (events[-1].type, final(events)) == ("response.incomplete", cancelled)
    await responses.delete(created.id)
    with pytest.raises(openai.NotFoundError):
        await responses.retrieve(created.id)


async def test_errors_are_those_of_the_client(stage: Stage) -> None:
    responses = stage.client.responses
    with pytest.raises(openai.BadRequestError, match="truncation: ") as refused:
        await responses.create(model=SHORT, input="Why?", truncation="auto")
    assert (refused.value.type, refused.value.code) == ("invalid_request_error", "invalid_request")
    for missing in ("resp_0123456789abcdef", "nothing"):
        with pytest.raises(openai.NotFoundError):
            await responses.create(model=SHORT, input="Why?", previous_response_id=missing)
    with pytest.raises(openai.NotFoundError, match="There is no model"):
        await responses.create(model="nothing", input="Why?")
    key = {"Idempotency-Key": "k"}
    await responses.create(model=SHORT, input="Why?", extra_headers=key)
    with pytest.raises(openai.ConflictError):
        await responses.create(model=SHORT, input="Why not?", extra_headers=key)
    with pytest.raises(openai.RateLimitError):
        await responses.create(model="openai/demo?status=429&retry_after=0&error_code=insufficient_quota", input="Why?")
    failed = await responses.create(model="openai/demo?status=400", input="Why?", background=True)
    response = await ended(stage.client, failed.id)
    assert response.error is not None
    assert (response.status, response.error.code) == ("failed", "invalid_prompt")


async def test_the_limits_of_a_key_are_errors_of_the_client(gateway: ServedGateway, tailrace: Tailrace) -> None:
    _, token = await tailrace.access.api_keys.create(tenant="ada", limits=KeyLimits(running=1))
    async with client_of(gateway, api_key="trk_wrong") as stranger:
        with pytest.raises(openai.AuthenticationError):
            await stranger.responses.create(model=SHORT, input="Why?")
    async with client_of(gateway, api_key=token) as ada:
        await ada.responses.create(model=LONG, input="Why?", background=True)
        with pytest.raises(openai.RateLimitError, match="running and waiting jobs"):
            await ada.responses.create(model=LONG, input="Why?", background=True)


async def test_a_conversation_goes_on_by_the_id_of_its_last_response(stage: Stage, tailrace: Tailrace) -> None:
    responses = stage.client.responses
    tools: Any = [{"type": "function", "name": "look_up", "parameters": {"type": "object", "properties": {}}}]
    first = await responses.create(
        model="openai/demo?pieces=3&interval_ms=1&tools=2&reasoning=2", input="Why?", tools=tools, instructions="Look."
    )
    calls = [item for item in first.output if item.type == "function_call"]
    assert [call.name for call in calls] == ["look_up", "look_up"]
    with pytest.raises(openai.BadRequestError, match="no result for the call"):
        await responses.create(model=SHORT, input="And?", previous_response_id=first.id)
    outputs: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "42"} for call in calls]
    second = await responses.create(model=SHORT, input=outputs, previous_response_id=first.id, tools=tools)
    third = await responses.create(model=SHORT, input="And?", previous_response_id=second.id)
    assert third.previous_response_id == second.id
    listed = [item async for item in responses.input_items.list(third.id, order="asc", limit=2)]
    assert [item.type for item in listed] == [
        *("message", "reasoning", "message", "function_call", "function_call"),
        *("function_call_output", "function_call_output", "message", "message"),
    ]
    newest_first = [item async for item in responses.input_items.list(third.id)]
    assert newest_first == listed[::-1]
    by_ids: Any = await tailrace.job(third.id.removeprefix("resp_")).request()
    items: Any = [
        {"role": "user", "content": "Why?"},
        *[item.model_dump(exclude_none=True) for item in first.output],
        *outputs,
        *[item.model_dump(exclude_none=True) for item in second.output],
        {"role": "user", "content": "And?"},
    ]
    by_items = await responses.create(model=SHORT, input=items)
    request: Any = await tailrace.job(by_items.id.removeprefix("resp_")).request()
    assert [message["role"] for message in request.messages] == [message["role"] for message in by_ids.messages]
    for message, other in zip(request.messages, by_ids.messages, strict=True):
        assert message.get("content") == other.get("content")
        assert message.get("tool_calls") == other.get("tool_calls")


async def test_a_repetition_with_the_same_key_joins_the_first_one(stage: Stage) -> None:
    model = "openai/demo?pieces=40&interval_ms=20"

    async def read(count: int | None = None) -> list[ResponseStreamEvent]:
        seen: list[ResponseStreamEvent] = []
        async with await stage.client.responses.create(
            model=model, input="Why?", stream=True, extra_headers={"Idempotency-Key": "order-7"}
        ) as events:
            async for event in events:
                seen.append(event)
                if len(seen) == count:
                    break
        return seen

    begun, again = await read(6), await read()
    assert again[:6] == begun
    assert final(again).output_text == text_of(model)
    assert len(stage.calls) == 1


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize("on", ["the same gateway", "another gateway"])
async def test_a_worker_that_dies_in_mid_stream_leaves_a_whole_response(
    stage: Stage, settings: Settings, tailrace: Tailrace, provider: str, on: str
) -> None:
    model = f"{provider}/demo?pieces=100&interval_ms=30"
    async with AsyncExitStack() as stack:
        created = await stage.client.responses.create(model=model, input="Why?", background=True)
        seen: list[ResponseStreamEvent] = []
        async with await stage.client.responses.retrieve(created.id, stream=True) as events:
            async for event in events:
                seen.append(event)
                if event.type == "response.output_text.delta":
                    break
        stage.worker.signal(signal.SIGKILL)
        await stack.enter_async_context(worker_process(settings, stage.simulator, **QUICK))
        client = stage.client
        if on == "another gateway":
            stage.gateway.server.should_exit = True
            other = await stack.enter_async_context(served(create_app(tailrace, gateway_settings(settings))))
            client = await stack.enter_async_context(client_of(other))
        seen += await rest(client, created.id, seen[-1].sequence_number)
        assert seen == await rest(client, created.id)
        response = final(seen)
        assert (response.status, response.output_text) == ("completed", text_of(model))
        places = [event.output_index for event in seen if event.type == "response.output_item.added"]
        assert places == list(range(len(places)))
        assert {item.status for item in done(seen)} <= {"completed", "incomplete"}
        assert await client.responses.retrieve(created.id) == response


def done(events: list[ResponseStreamEvent]) -> list[Any]:
    return [event.item for event in events if event.type == "response.output_item.done"]
