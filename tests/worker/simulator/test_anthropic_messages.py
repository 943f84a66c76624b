import aiohttp
import anthropic
import pytest

from tailrace_worker.simulator import Scenario, Simulator
from tests.support.simulator_clients import anthropic_client, anthropic_deltas, read


async def test_the_sdk_streams_text_stop_reason_and_usage(simulator: Simulator) -> None:
    model = "demo?pieces=30&interval_ms=1&finish=length"
    async with (
        anthropic_client(simulator) as client,
        client.messages.stream(model=model, messages=[{"role": "user", "content": "Hi"}], max_tokens=64) as stream,
    ):
        texts = [text async for text in stream.text_stream]
        message = await stream.get_final_message()
    assert "".join(texts) == Scenario.parse(model).text_sent
    assert len(texts) == 30
    assert message.stop_reason == "max_tokens"
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens == 30
    assert message.id.startswith("msg_")
    assert message.model == "demo"


async def test_the_events_come_in_the_provider_s_order(simulator: Simulator) -> None:
    asked = {"model": "demo?pieces=2", "messages": [{"role": "user"}], "max_tokens": 1, "stream": True}
    async with (
        aiohttp.ClientSession(headers={"x-api-key": "test"}) as session,
        session.post(f"{simulator.url}/v1/messages", json=asked) as response,
    ):
        body = await response.text()
    events = [line.removeprefix("event: ") for line in body.splitlines() if line.startswith("event")]
    assert events == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


async def test_thinking_needs_room_for_an_answer(simulator: Simulator) -> None:
    async with anthropic_client(simulator) as client:
        with pytest.raises(anthropic.BadRequestError, match=r"greater than `thinking\.budget_tokens`"):
            await client.messages.create(
                model="demo",
                messages=[{"role": "user", "content": "Hi"}],
                max_tokens=1_024,
                thinking={"type": "enabled", "budget_tokens": 1_024},
            )


async def test_an_answer_that_is_not_streamed_says_the_same(simulator: Simulator) -> None:
    async with anthropic_client(simulator) as client:
        message = await client.messages.create(
            model="demo?interval_ms=0&text=Good+morning",
            messages=[{"role": "user", "content": "Hi"}],
            max_tokens=64,
        )
    assert [block.text for block in message.content if block.type == "text"] == ["Good morning"]
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens == 2


@pytest.mark.parametrize("as_blocks", [False, True])
@pytest.mark.parametrize(
    ("begun", "said"),
    [
        ("1. Water leaves", " the mill wheel"),
        ("1. Water leaves the mill", " wheel"),
        ("1. Water leaves the mill wheel", ""),
        ("1. Water lea", "1. Water leaves the mill wheel"),
        ("2. Water leaves", "1. Water leaves the mill wheel"),
    ],
)
async def test_the_beginning_of_an_answer_is_gone_on_with(
    simulator: Simulator, begun: str, said: str, as_blocks: bool
) -> None:
    async with anthropic_client(simulator) as client:
        message = await client.messages.create(
            model="demo?pieces=6&blocks=2&reasoning=2&interval_ms=0",
            messages=[
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": [{"type": "text", "text": begun}] if as_blocks else begun},
            ],
            max_tokens=64,
        )
    assert "".join(block.text for block in message.content if block.type == "text") == said
    is_whole = said.startswith("1.")
    assert any(block.type == "thinking" for block in message.content) == is_whole
    assert message.usage.output_tokens == len(said.split()) + 2 * is_whole


async def test_a_continued_answer_has_its_faults_counted_anew(simulator: Simulator) -> None:
    model = "demo?pieces=6&cut_after=4&times=1&interval_ms=0"
    first, error = await read(anthropic_deltas, simulator, model)
    assert error is not None
    async with (
        anthropic_client(simulator) as client,
        client.messages.stream(
            model=model,
            messages=[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": first}],
            max_tokens=64,
        ) as stream,
    ):
        rest = await stream.get_final_text()
    assert first + rest == Scenario.parse("demo?pieces=6").text_sent


async def test_a_beginning_that_ends_in_white_space_is_refused(simulator: Simulator) -> None:
    async with anthropic_client(simulator) as client:
        with pytest.raises(anthropic.BadRequestError, match="trailing whitespace"):
            await client.messages.create(
                model="demo",
                messages=[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "1. "}],
                max_tokens=64,
            )


async def test_the_sdk_finds_the_simulator_by_its_own_variables(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", simulator.url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "test")
    async with anthropic.AsyncAnthropic() as client:
        message = await client.messages.create(
            model="demo?interval_ms=0&pieces=1", messages=[{"role": "user", "content": "Hi"}], max_tokens=64
        )
    assert message.usage.output_tokens == 1


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (529, anthropic.APIStatusError, "overloaded_error"),
    ],
)
async def test_a_status_is_the_sdk_s_typed_error(
    simulator: Simulator, status: int, error: type[anthropic.APIStatusError], kind: str
) -> None:
    async with anthropic_client(simulator) as client:
        with pytest.raises(error) as caught:
            await client.messages.create(
                model=f"demo?pieces=20&status={status}&retry_after=0.5",
                messages=[{"role": "user", "content": "Hi"}],
                max_tokens=64,
            )
    assert caught.value.status_code == status
    assert caught.value.type == kind
    assert caught.value.request_id is not None
    assert caught.value.response.headers.get("retry-after") == ("0.5" if status == 429 else None)


@pytest.mark.parametrize(
    ("key", "body", "status", "message"),
    [
        ("", b"{}", 401, "x-api-key header is required"),
        ("k", b'{"model":', 400, "The request body is not valid JSON"),
        ("k", b'{"messages":[{}],"max_tokens":1}', 400, "model: Field required"),
        ("k", b'{"model":"demo","max_tokens":1}', 400, "messages: Field required"),
        ("k", b'{"model":"demo","messages":[{}]}', 400, "max_tokens: Field required"),
        ("k", b'{"model":"demo?pieces=20&peices=1","messages":[{}],"max_tokens":1}', 400, "peices: unknown option"),
    ],
)
async def test_a_bad_request_gets_the_provider_s_error(
    simulator: Simulator, key: str, body: bytes, status: int, message: str
) -> None:
    async with (
        aiohttp.ClientSession(headers={"x-api-key": key}) as session,
        session.post(f"{simulator.url}/v1/messages", data=body) as response,
    ):
        refusal = await response.json()
    assert response.status == status
    assert refusal["type"] == "error"
    assert refusal["error"]["message"].startswith(message)
    assert refusal["error"]["type"] == ("authentication_error" if status == 401 else "invalid_request_error")
    assert refusal["request_id"] == response.headers["request-id"]


async def test_an_unknown_path_is_not_found(simulator: Simulator) -> None:
    async with anthropic_client(simulator) as client:
        with pytest.raises(anthropic.NotFoundError, match="Invalid URL"):
            await client.messages.count_tokens(model="demo", messages=[{"role": "user", "content": "Hi"}])
