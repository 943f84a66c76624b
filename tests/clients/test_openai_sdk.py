"""OpenAI's own client, unchanged but for its base URL, against a live gateway."""

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from tailrace import JobState, Tailrace
from tests.clients.conftest import QUICK, Live
from tests.support.eventually import eventually
from tests.support.processes import worker_process

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

HI: Any = [{"role": "user", "content": "Hi"}]
WORDS = [f"w{number}" for number in range(20)]
WEATHER: Any = [
    {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
]


@pytest.fixture
async def client(fronts: Live) -> AsyncIterator[AsyncOpenAI]:
    server = httpx2.AsyncClient(trust_env=False, timeout=60)
    async with AsyncOpenAI(api_key="k", base_url=f"{fronts.gateway.url}/v1", http_client=server) as client:
        yield client


def model(provider: str = "openai", **options: object) -> str:
    """A model that says the words, under a name of its own."""
    told = {"text": "+".join(WORDS), "pieces": 20, "interval_ms": 0, "split": 100_000 + secrets.randbelow(100_000)}
    return f"{provider}/demo?" + "&".join(f"{name}={value}" for name, value in {**told, **options}.items())


def own_name(asked: str) -> str:
    return asked.partition("/")[2]


async def test_a_completion_is_whole_and_names_its_job(client: AsyncOpenAI, tailrace: Tailrace) -> None:
    for asked, front in (("fast", "openai-chat-verbatim/1"), ("claude-x", "openai-chat/1")):
        raw = await client.chat.completions.with_raw_response.create(model=asked, messages=HI)
        completion = raw.parse()
        (choice,) = completion.choices
        assert (choice.message.content, choice.finish_reason) == ("Because of water", "stop")
        assert completion.usage is not None
        assert completion.usage.total_tokens > 0
        status = await tailrace.job(raw.headers["x-tailrace-job"]).status()
        assert (status.state, status.labels) == (JobState.COMPLETED, {"tailrace.front": front})
        # A provider that speaks Chat Completions gives the completion its own id, and names its own model.
        own = f"chatcmpl-{status.job_id}", asked
        assert ((completion.id, completion.model) == own) is (asked == "claude-x")


async def test_a_stream_adds_up_to_the_same_completion_with_its_usage(client: AsyncOpenAI) -> None:
    asked = model()
    options: Any = {"include_usage": True}
    async with client.chat.completions.stream(model=asked, messages=HI, stream_options=options) as stream:
        completion = await stream.get_final_completion()
    whole = await client.chat.completions.create(model=asked, messages=HI)
    assert (completion.choices[0].message.content or "").split() == WORDS
    assert completion.choices[0].message.content == whole.choices[0].message.content
    assert completion.usage is not None
    assert whole.usage is not None
    assert completion.usage.completion_tokens == whole.usage.completion_tokens


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_the_loop_of_a_tool_comes_to_its_end(client: AsyncOpenAI, provider: str) -> None:
    asked = model(provider, tools=1)
    completion = await client.chat.completions.create(model=asked, messages=HI, tools=WEATHER, tool_choice="auto")
    message = completion.choices[0].message
    assert completion.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls
    results = [{"role": "tool", "tool_call_id": call.id, "content": "12 degrees"} for call in message.tool_calls]
    again: Any = [*HI, message, *results]
    completion = await client.chat.completions.create(model=model(provider), messages=again, tools=WEATHER)
    assert (completion.choices[0].message.content or "").split() == WORDS


async def test_reasoning_is_where_clients_look_for_it_and_may_be_sent_back(client: AsyncOpenAI) -> None:
    completion = await client.chat.completions.create(model=model("anthropic", reasoning=3), messages=HI)
    message: Any = completion.choices[0].message
    assert message.reasoning_content
    again: Any = [*HI, message, *HI]
    assert (await client.chat.completions.create(model="fast", messages=again)).choices[0].message.content


async def test_a_schema_is_parsed(client: AsyncOpenAI) -> None:
    class Reply(BaseModel):
        reason: str

    asked = model(text='{"reason":"water"}', pieces=1)
    parsed = await client.chat.completions.parse(model=asked, messages=HI, response_format=Reply)
    assert parsed.choices[0].message.parsed == Reply(reason="water")


async def test_images_and_documents_are_carried(client: AsyncOpenAI, tailrace: Tailrace) -> None:
    content: Any = [
        {"type": "text", "text": "What?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
    ]
    messages: Any = [{"role": "user", "content": content}]
    raw = await client.chat.completions.with_raw_response.create(model="limited-x", messages=messages)
    request: Any = await tailrace.job(raw.headers["x-tailrace-job"]).request()
    assert [part["type"] for part in request.messages[0]["content"]] == ["text", "image", "document"]


async def test_fields_of_the_provider_go_only_to_providers_that_know_them(
    client: AsyncOpenAI, tailrace: Tailrace
) -> None:
    raw = await client.chat.completions.with_raw_response.create(
        model="limited-x", messages=HI, reasoning_effort="low", seed=7, user="u", n=1, logprobs=False, store=False
    )
    request: Any = await tailrace.job(raw.headers["x-tailrace-job"]).request()
    assert request.extra == {"reasoning_effort": "low", "seed": 7, "user": "u"}
    assert request.on_interrupt == "continue"
    with pytest.raises(openai.BadRequestError, match=r"seed: .*'anthropic'.*; verbosity: "):
        await client.chat.completions.create(model="claude-x", messages=HI, seed=7, user="u", verbosity="low")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"model": "claude-x", "max_completion_tokens": 0}, "max_completion_tokens"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages.0.content.0.type"),
        ({"extra_body": {"new_field": 1}}, "new_field"),
    ],
)
async def test_what_cannot_be_carried_is_refused_by_name(
    client: AsyncOpenAI, fields: dict[str, Any], named: str
) -> None:
    given: dict[str, Any] = {"model": "limited-x", "messages": HI, **fields}
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(**given)
    body: Any = caught.value.body
    assert f"{named}: " in body["message"]
    assert body["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.InternalServerError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (503, openai.InternalServerError),
    ],
)
async def test_a_failed_job_is_an_error_of_its_class_and_is_not_asked_for_again(
    client: AsyncOpenAI, fronts: Live, status: int, error: type[openai.APIStatusError]
) -> None:
    asked = model(status=status)
    with pytest.raises(error) as caught:
        await client.chat.completions.create(model=asked, messages=HI)
    assert caught.value.response.headers["x-tailrace-job"]
    assert fronts.calls(own_name(asked)) == 1


async def test_what_is_wrong_at_once_has_an_error_of_its_class(client: AsyncOpenAI, tailrace: Tailrace) -> None:
    create = client.chat.completions.create
    with pytest.raises(openai.NotFoundError, match="Ask for one of: fast, claude-"):
        await create(model="gpt-4", messages=HI)
    with pytest.raises(openai.APIStatusError) as caught:
        await create(model="fast", messages=[{"role": "user", "content": "a" * 200_000}])
    assert caught.value.status_code == 413
    named = {"Idempotency-Key": secrets.token_hex(8)}
    await create(model="fast", messages=HI, extra_headers=named)
    with pytest.raises(openai.ConflictError):
        await create(model="fast", messages=HI, temperature=1, extra_headers=named)
    await tailrace.access.api_keys.create(tenant="t")
    with pytest.raises(openai.AuthenticationError):
        await create(model="fast", messages=HI)


async def test_models_are_listed_and_found(client: AsyncOpenAI) -> None:
    assert [each.id async for each in client.models.list()] == ["fast"]
    assert (await client.models.retrieve("claude-opus-4-5")).owned_by == "anthropic"


async def test_an_error_of_the_provider_in_the_stream_is_raised(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(model=model(error_after=3), messages=HI, stream=True)
    with pytest.raises(openai.APIError):
        async for _ in stream:
            pass


async def test_to_leave_a_stream_stops_the_provider(client: AsyncOpenAI, fronts: Live) -> None:
    asked = model(interval_ms=2_000)
    stream = await client.chat.completions.create(model=asked, messages=HI, stream=True)
    async for _ in stream:
        break
    await stream.close()
    await fronts.call_of(own_name(asked), "client_closed")


async def test_to_leave_a_call_that_is_not_streamed_stops_the_provider(client: AsyncOpenAI, fronts: Live) -> None:
    asked = model(interval_ms=2_000)
    calling = asyncio.create_task(client.chat.completions.create(model=asked, messages=HI))
    await fronts.call_of(own_name(asked), "open")
    calling.cancel()
    await fronts.call_of(own_name(asked), "client_closed")
    assert calling.cancelled() or calling.done()


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_key_brings_the_same_stream_from_its_beginning_for_one_call_of_the_provider(
    client: AsyncOpenAI, fronts: Live, provider: str
) -> None:
    asked = model(provider, interval_ms=100)
    named = {"Idempotency-Key": secrets.token_hex(8)}
    stream = await client.chat.completions.create(model=asked, messages=HI, stream=True, extra_headers=named)
    cut = [chunk async for chunk, _ in _first(stream, 4)]
    await stream.close()
    again = await client.chat.completions.create(model=asked, messages=HI, stream=True, extra_headers=named)
    chunks = [chunk async for chunk in again]
    assert chunks[:4] == cut
    assert _text(chunks).split() == WORDS
    if provider == "openai":
        # The provider itself streams or not, so that it is another request.
        with pytest.raises(openai.ConflictError):
            await client.chat.completions.create(model=asked, messages=HI, extra_headers=named)
    else:
        whole = await client.chat.completions.create(model=asked, messages=HI, extra_headers=named)
        assert (whole.choices[0].message.content, whole.id) == (_text(chunks), chunks[0].id)
    assert fronts.calls(own_name(asked)) == 1


@pytest.mark.parametrize("is_streamed", [True, False])
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_an_answer_that_breaks_off_is_continued_or_an_error_and_never_two_joined(
    client: AsyncOpenAI, provider: str, *, is_streamed: bool
) -> None:
    text, error = await _ask(client, model(provider, cut_after=6, times=1, interval_ms=20), is_streamed=is_streamed)
    # Only Anthropic can continue an answer, and a stream cannot take text back.
    assert (error is not None) is (is_streamed and provider == "openai")
    assert WORDS[: len(text.split())] == text.split()
    assert error is not None or text.split() == WORDS


@pytest.mark.parametrize("is_streamed", [True, False])
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_an_answer_whose_worker_dies_is_whole_or_an_error_and_never_two_joined(
    client: AsyncOpenAI, fronts: Live, provider: str, *, is_streamed: bool
) -> None:
    asked = model(provider, interval_ms=150)
    calling = asyncio.create_task(_ask(client, asked, is_streamed=is_streamed))
    async with asyncio.timeout(120):
        await fronts.simulator.journal.until(lambda entry: entry.model == own_name(asked))
        if is_streamed:
            await eventually(lambda: any(entry.pieces_sent > 5 for entry in fronts.simulator.journal.entries))
        fronts.worker.signal(signal.SIGKILL)
        async with worker_process(fronts.settings, fronts.simulator, **QUICK):
            text, error = await calling
    # Another worker continues the answer if the provider can, and a stream cannot take text back.
    assert (error is not None) is (is_streamed and provider == "openai")
    assert WORDS[: len(text.split())] == text.split()
    assert error is not None or text.split() == WORDS


async def _ask(client: AsyncOpenAI, asked: str, *, is_streamed: bool) -> tuple[str, openai.APIError | None]:
    if not is_streamed:
        completion = await client.chat.completions.create(model=asked, messages=HI)
        return completion.choices[0].message.content or "", None
    chunks: list[Any] = []
    try:
        async for chunk in await client.chat.completions.create(model=asked, messages=HI, stream=True):
            chunks.append(chunk)  # noqa: PERF401  # They count if an error follows.
    except openai.APIError as error:
        return _text(chunks), error
    return _text(chunks), None


async def _first(stream: Any, number: int) -> AsyncIterator[tuple[Any, int]]:
    seen = 0
    async for chunk in stream:
        seen += 1
        yield chunk, seen
        if seen == number:
            return


def _text(chunks: list[Any]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
