import aiohttp
import openai
import pytest

from tailrace_worker.simulator import Scenario, Simulator
from tests.support.simulator_clients import openai_client


async def test_the_sdk_streams_text_finish_reason_and_usage(simulator: Simulator) -> None:
    model = "demo?pieces=30&interval_ms=1&finish=length"
    async with openai_client(simulator) as client:
        stream = await client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": "Hi"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        first, *chunks, finish, usage = [chunk async for chunk in stream]
    assert first.choices[0].delta.role == "assistant"
    assert first.choices[0].delta.content == ""
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == Scenario.parse(model).text_sent
    assert len(chunks) == 30
    assert finish.choices[0].finish_reason == "length"
    assert usage.choices == []
    assert usage.usage is not None
    assert usage.usage.completion_tokens == 30
    assert usage.usage.total_tokens == usage.usage.prompt_tokens + 30
    assert {chunk.id for chunk in (first, *chunks, finish, usage)} == {first.id}
    assert first.id.startswith("chatcmpl-")
    assert first.model == "demo"


async def test_usage_is_streamed_only_to_who_asks_for_it(simulator: Simulator) -> None:
    async with openai_client(simulator) as client:
        stream = await client.chat.completions.create(
            model="demo?pieces=20&interval_ms=0", messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        chunks = [chunk async for chunk in stream]
    assert all(chunk.choices and "usage" not in chunk.model_fields_set for chunk in chunks)


async def test_an_answer_that_is_not_streamed_says_the_same(simulator: Simulator) -> None:
    async with openai_client(simulator) as client:
        answer = await client.chat.completions.create(
            model="demo?interval_ms=0&text=Good+morning", messages=[{"role": "user", "content": "Hi"}]
        )
    assert answer.choices[0].message.content == "Good morning"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 2


async def test_the_sdk_finds_the_simulator_by_its_own_variables(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"{simulator.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    async with openai.AsyncOpenAI() as client:
        answer = await client.chat.completions.create(
            model="demo?interval_ms=0&pieces=1", messages=[{"role": "user", "content": "Hi"}]
        )
    assert answer.choices[0].message.content == "1."


@pytest.mark.parametrize(
    ("status", "error", "kind", "code"),
    [
        (400, openai.BadRequestError, "invalid_request_error", "invalid_value"),
        (401, openai.AuthenticationError, "invalid_request_error", "invalid_api_key"),
        (403, openai.PermissionDeniedError, "invalid_request_error", "model_not_found"),
        (404, openai.NotFoundError, "invalid_request_error", "model_not_found"),
        (429, openai.RateLimitError, "requests", "rate_limit_exceeded"),
        (500, openai.InternalServerError, "server_error", None),
        (503, openai.InternalServerError, "server_error", None),
    ],
)
async def test_a_status_is_the_sdk_s_typed_error(
    simulator: Simulator, status: int, error: type[openai.APIStatusError], kind: str, code: str | None
) -> None:
    async with openai_client(simulator) as client:
        with pytest.raises(error) as caught:
            await client.chat.completions.create(
                model=f"demo?pieces=20&status={status}&retry_after=7", messages=[{"role": "user", "content": "Hi"}]
            )
    assert caught.value.status_code == status
    assert (caught.value.type, caught.value.code) == (kind, code)
    assert caught.value.request_id is not None
    assert caught.value.response.headers.get("retry-after") == ("7" if status == 429 else None)


@pytest.mark.parametrize(
    ("authorization", "body", "expected"),
    [
        ("", b"{}", (401, None, None)),
        ("Bearer", b"{}", (401, None, None)),
        ("Bearer k", b'{"model":', (400, None, None)),
        ("Bearer k", b"[]", (400, None, None)),
        ("Bearer k", b'{"model":"\\ud800"}', (400, None, None)),
        ("Bearer k", b'{"messages":[{}]}', (400, "model", "missing_required_parameter")),
        ("Bearer k", b'{"model":"demo"}', (400, "messages", "missing_required_parameter")),
        ("Bearer k", b'{"model":"demo","messages":[]}', (400, "messages", "invalid_value")),
        ("Bearer k", b'{"model":"demo?pieces=20&peices=1","messages":[{}]}', (400, "model", None)),
    ],
)
async def test_a_bad_request_gets_the_provider_s_error(
    simulator: Simulator, authorization: str, body: bytes, expected: tuple[int, str | None, str | None]
) -> None:
    async with (
        aiohttp.ClientSession(headers={"authorization": authorization}) as session,
        session.post(f"{simulator.url}/v1/chat/completions", data=body) as response,
    ):
        error = (await response.json())["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (response.status, error["param"], error["code"]) == expected
    assert error["type"] == "invalid_request_error"
    assert response.headers["x-request-id"].startswith("req_")


async def test_an_unknown_path_is_not_found(simulator: Simulator) -> None:
    async with openai_client(simulator) as client:
        with pytest.raises(openai.NotFoundError, match="Invalid URL"):
            await client.embeddings.create(model="demo", input="Hi")
