"""Anthropic's own client, unchanged but for its base URL, against a live gateway."""

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import anthropic
import httpx2
import pytest
from anthropic import AsyncAnthropic

from tailrace import JobState, Tailrace
from tests.clients.conftest import QUICK, Live
from tests.support.eventually import eventually
from tests.support.processes import worker_process

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

Client: TypeAlias = Any
"""An `AsyncAnthropic`, whose overloads do not take the fields as a dict."""
HI: Any = [{"role": "user", "content": "Hi"}]
WORDS = [f"w{number}" for number in range(20)]
WEATHER: Any = [{"name": "weather", "input_schema": {"type": "object", "properties": {}}}]


@pytest.fixture
async def client(fronts: Live) -> AsyncIterator[AsyncAnthropic]:
    server = httpx2.AsyncClient(trust_env=False, timeout=60)
    async with AsyncAnthropic(api_key="k", base_url=fronts.gateway.url, http_client=server) as client:
        yield client


def model(provider: str = "anthropic", **options: object) -> str:
    """A model that says the words, under a name of its own."""
    told = {"text": "+".join(WORDS), "pieces": 20, "interval_ms": 0, "split": 100_000 + secrets.randbelow(100_000)}
    return f"{provider}/demo?" + "&".join(f"{name}={value}" for name, value in {**told, **options}.items())


def own_name(asked: str) -> str:
    return asked.partition("/")[2]


def asking(asked: str, **fields: Any) -> dict[str, Any]:
    return {"model": asked, "max_tokens": 1_000, "messages": HI, **fields}


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


async def test_a_message_is_whole_and_names_its_job(client: Client, tailrace: Tailrace) -> None:
    for asked, front in (("claude-x", "anthropic-messages-verbatim/1"), ("fast", "anthropic-messages/1")):
        raw = await client.messages.with_raw_response.create(**asking(asked))
        message = await raw.parse()
        assert (text_of(message), message.stop_reason) == ("Because of water", "end_turn")
        assert message.usage.output_tokens > 0
        status = await tailrace.job(raw.headers["x-tailrace-job"]).status()
        assert (status.state, status.labels) == (JobState.COMPLETED, {"tailrace.front": front})
        # A provider that speaks Messages gives the message its own id, and names its own model.
        assert ((message.id, message.model) == (f"msg_{status.job_id}", asked)) is (asked == "fast")


@pytest.mark.parametrize("provider", ["anthropic", "openai", "openai-responses"])
async def test_a_stream_adds_up_to_the_same_message(client: Client, provider: str) -> None:
    asked = model(provider)
    async with client.messages.stream(**asking(asked)) as stream:
        message = await stream.get_final_message()
    whole = await client.messages.create(**asking(asked))
    assert text_of(message).split() == WORDS
    assert (text_of(message), message.usage, message.stop_reason) == (text_of(whole), whole.usage, whole.stop_reason)


@pytest.mark.parametrize("provider", ["anthropic", "openai", "openai-responses"])
async def test_the_loop_of_a_tool_comes_to_its_end(client: Client, provider: str) -> None:
    asked = asking(model(provider, tools=2), tools=WEATHER, tool_choice={"type": "any"})
    message = await client.messages.create(**asked)
    assert message.stop_reason == "tool_use"
    results: list[Any] = [
        {"type": "tool_result", "tool_use_id": block.id, "content": [{"type": "text", "text": "12 degrees"}]}
        for block in message.content
        if block.type == "tool_use"
    ]
    assert len(results) == 2
    turn = [*results, {"type": "text", "text": "And?", "cache_control": {"type": "ephemeral"}}]
    messages = [*HI, {"role": "assistant", "content": message.content}, {"role": "user", "content": turn}]
    again = await client.messages.create(**asking(model(provider), tools=WEATHER, messages=messages))
    assert text_of(again).split() == WORDS


async def test_thinking_comes_with_its_signature_and_is_sent_back(client: Client, tailrace: Tailrace) -> None:
    thinking = {"type": "enabled", "budget_tokens": 2_000}
    asked = asking(model(reasoning=3), max_tokens=4_000, thinking=thinking)
    async with client.messages.stream(**asked) as stream:
        message = await stream.get_final_message()
    block = message.content[0]
    assert block.type == "thinking"
    assert block.signature
    messages = [*HI, {"role": "assistant", "content": message.content}, *HI]
    raw = await client.messages.with_raw_response.create(**asking("limited-claude-x", messages=messages))
    request: Any = await tailrace.job(raw.headers["x-tailrace-job"]).request()
    (thought,) = request.messages[1]["reasoning"]
    assert (thought["text"], thought["signature"]) == (block.thinking, block.signature)


async def test_system_images_documents_and_schemas_are_carried(client: Client, tailrace: Tailrace) -> None:
    png, pdf = ({"type": "base64", "media_type": kind, "data": "AAAA"} for kind in ("image/png", "application/pdf"))
    content = [
        {"type": "text", "text": "What?"},
        {"type": "image", "source": png},
        {"type": "document", "source": pdf, "title": "a.pdf"},
    ]
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
    asked = asking(
        "limited-claude-x",
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        messages=[{"role": "user", "content": content}],
        output_config={"format": {"type": "json_schema", "schema": schema}, "effort": "low"},
        stop_sequences=["END"],
        extra_body={"top_k": 5},
        metadata={"user_id": "u"},
    )
    raw = await client.messages.with_raw_response.create(**asked)
    request: Any = await tailrace.job(raw.headers["x-tailrace-job"]).request()
    assert request.messages[0] == {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}
    assert [part["type"] for part in request.messages[1]["content"]] == ["text", "image", "document"]
    assert (request.output_schema["schema"], request.stop) == (schema, ["END"])
    assert request.extra == {"top_k": 5, "metadata": {"user_id": "u"}, "output_config": {"effort": "low"}}
    assert request.on_interrupt == "continue"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"model": "fast", "extra_body": {"top_k": 5}}, "top_k"),
        ({"model": "fast", "thinking": {"type": "enabled", "budget_tokens": 2_000}}, "thinking"),
        ({"model": "fast", "max_tokens": 0}, "max_tokens"),
        ({"extra_body": {"new_field": 1}}, "new_field"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0.type"),
        ({"messages": [{"role": "user", "content": [{"type": "search_result"}]}]}, "messages.0.content.0.type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file"}}]}]},
            "messages.0.content.0.source",
        ),
    ],
)
async def test_what_cannot_be_carried_is_refused_by_name(client: Client, fields: dict[str, Any], named: str) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        await client.messages.create(**{**asking("limited-claude-x"), **fields})
    body: Any = caught.value.body
    assert f"{named}: " in body["error"]["message"]
    assert (body["type"], body["error"]["type"]) == ("error", "invalid_request_error")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.InternalServerError),
        (404, anthropic.NotFoundError),
        (429, anthropic.RateLimitError),
        (529, anthropic.APIStatusError),
    ],
)
async def test_a_failed_job_is_an_error_of_its_class_and_is_not_asked_for_again(
    client: Client, fronts: Live, status: int, error: type[anthropic.APIStatusError]
) -> None:
    asked = model(status=status)
    with pytest.raises(error) as caught:
        await client.messages.create(**asking(asked))
    assert caught.value.response.headers["x-tailrace-job"]
    assert fronts.calls(own_name(asked)) == 1


async def test_what_is_wrong_at_once_has_an_error_of_its_class(client: Client, tailrace: Tailrace) -> None:
    create = client.messages.create
    with pytest.raises(anthropic.NotFoundError, match=r"Ask for one of: fast, claude-\*"):
        await create(**asking("gpt-4"))
    with pytest.raises(anthropic.RequestTooLargeError):
        await create(**asking("fast", messages=[{"role": "user", "content": "a" * 200_000}]))
    named = {"Idempotency-Key": secrets.token_hex(8)}
    await create(**asking("fast", extra_headers=named))
    with pytest.raises(anthropic.ConflictError):
        await create(**asking("fast", system="Be brief.", extra_headers=named))
    await tailrace.access.api_keys.create(tenant="t")
    with pytest.raises(anthropic.AuthenticationError):
        await create(**asking("fast"))


async def test_an_api_key_is_taken_as_the_client_sends_it(client: Client, tailrace: Tailrace) -> None:
    _, token = await tailrace.access.api_keys.create(tenant="t")
    raw = await client.with_options(api_key=token).messages.with_raw_response.create(**asking("fast"))
    assert (await tailrace.job(raw.headers["x-tailrace-job"]).status()).tenant == "t"


async def test_models_are_listed_and_found(client: Client) -> None:
    assert [each.id async for each in client.models.list()] == ["fast"]
    assert (await client.models.retrieve("claude-opus-4-5")).display_name == "claude-opus-4-5"


async def test_tokens_are_estimated(client: Client) -> None:
    counted = await client.messages.count_tokens(model="claude-x", messages=HI, system="a" * 298)
    assert counted.input_tokens > 100
    source: Any = {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}
    content: Any = [{"type": "document", "source": source}]
    with pytest.raises(anthropic.BadRequestError, match="cannot be estimated"):
        await client.messages.count_tokens(model="claude-x", messages=[{"role": "user", "content": content}])


async def test_an_error_of_the_provider_in_the_stream_is_raised(client: Client) -> None:
    async with client.messages.stream(**asking(model("openai", error_after=3))) as stream:
        with pytest.raises(anthropic.APIStatusError):
            await stream.until_done()


async def test_to_leave_a_stream_stops_the_provider(client: Client, fronts: Live) -> None:
    asked = model(interval_ms=2_000)
    async with client.messages.stream(**asking(asked)) as stream:
        async for _ in stream.text_stream:
            break
    await fronts.call_of(own_name(asked), "client_closed")


async def test_to_leave_a_call_that_is_not_streamed_stops_the_provider(client: Client, fronts: Live) -> None:
    asked = model(interval_ms=2_000)
    calling = asyncio.create_task(client.messages.create(**asking(asked)))
    await fronts.call_of(own_name(asked), "open")
    calling.cancel()
    await fronts.call_of(own_name(asked), "client_closed")
    assert calling.cancelled()


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
async def test_a_key_brings_the_same_stream_from_its_beginning_for_one_call_of_the_provider(
    client: Client, fronts: Live, provider: str
) -> None:
    asked = asking(model(provider, interval_ms=100), extra_headers={"Idempotency-Key": secrets.token_hex(8)})
    cut: list[Any] = []
    stream = await client.messages.create(**asked, stream=True)
    async for event in stream:
        cut.append(event)
        if len(cut) == 4:
            break
    await stream.close()
    events = [event async for event in await client.messages.create(**asked, stream=True)]
    assert events[:4] == cut
    text = "".join(event.delta.text for event in events if event.type == "content_block_delta")
    assert text.split() == WORDS
    if provider == "anthropic":
        # The provider itself streams or not, so that it is another request.
        with pytest.raises(anthropic.ConflictError):
            await client.messages.create(**asked)
    else:
        assert text_of(await client.messages.create(**asked)) == text
    assert fronts.calls(own_name(asked["model"])) == 1


@pytest.mark.parametrize("is_streamed", [True, False])
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_an_answer_whose_worker_dies_is_whole_or_an_error_and_never_two_joined(
    client: Client, fronts: Live, provider: str, *, is_streamed: bool
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
    # OpenAI cannot continue an answer, and a verbatim one of Anthropic is never continued. A stream takes nothing back.
    assert (error is not None) is is_streamed
    assert WORDS[: len(text.split())] == text.split()
    assert error is not None or text.split() == WORDS


async def _ask(client: Client, asked: str, *, is_streamed: bool) -> tuple[str, anthropic.APIError | None]:
    if not is_streamed:
        return text_of(await client.messages.create(**asking(asked))), None
    said: list[str] = []
    try:
        async with client.messages.stream(**asking(asked)) as stream:
            async for text in stream.text_stream:
                said.append(text)  # noqa: PERF401  # They count if an error follows.
    except anthropic.APIError as error:
        return "".join(said), error
    return "".join(said), None
