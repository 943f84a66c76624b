"""What the adapters make of streams that break, and what they send."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import pytest

from tailrace.api_kinds import API_KINDS, ApiKind
from tailrace.errors import FailureCode, ProviderError
from tailrace_worker.providers.base import Alive, Piece, Provider
from tests.recorded.folded import Folded, asking, read
from tests.recorded.replay import Replay, needed, transcripts
from tests.support import wire

needed()

LONG = {
    "openai": "openai-chat-text-long",
    "openai-responses": "openai-responses-text-long",
    "anthropic": "anthropic-messages-text-long",
}
SHORT = {
    "openai": "openai-chat-text-short",
    "openai-responses": "openai-responses-text-short",
    "anthropic": "anthropic-messages-text-short",
}
EVENTS = {each.name: each.events for each in transcripts()}

pytestmark = pytest.mark.parametrize("provider", API_KINDS)


async def failing(pieces: AsyncGenerator[Piece | Alive, None]) -> tuple[Folded, ProviderError]:
    """What came before the error, and the error."""
    answer = Folded()
    try:
        async for piece in pieces:
            answer.add(piece)
    except ProviderError as error:
        return answer, error
    pytest.fail(f"nothing went wrong, and {answer} came")


@pytest.mark.parametrize("how", ["abort", "close", "clean"])
async def test_a_cut_stream_is_interrupted_after_what_had_come(
    provider: str, how: str, providers: Mapping[str, Provider]
) -> None:
    whole = await read(providers[provider].stream(asking(provider, LONG[provider])))

    model = f"{LONG[provider]}?stop=40&how={how}"
    answer, error = await failing(providers[provider].stream(asking(provider, model)))

    assert (error.code, error.retryable) == (FailureCode.PROVIDER_INTERRUPTED, True)
    assert whole.text.startswith(answer.text)
    assert len(answer.text) > 20
    assert "broke off" in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("how", ["abort", "clean"])
async def test_a_stream_cut_anywhere_is_either_interrupted_or_whole(
    provider: str, how: str, providers: Mapping[str, Provider]
) -> None:
    name = SHORT[provider]
    whole = await read(providers[provider].stream(asking(provider, name)))

    async def cut(events: int) -> Folded | FailureCode:
        try:
            return await read(
                providers[provider].stream(asking(provider, f"{name}?stop={events}&how={how}&id=anywhere"))
            )
        except ProviderError as error:
            return error.code

    results = await asyncio.gather(*(cut(events) for events in range(EVENTS[name])))

    # The finish reason of Chat Completions is followed by usage and [DONE], that of Messages by `message_stop`.
    tail = {"openai": 2, "anthropic": 1}.get(provider, 0)
    assert results[: len(results) - tail] == [FailureCode.PROVIDER_INTERRUPTED] * (len(results) - tail)
    for answer in results[len(results) - tail :]:
        assert isinstance(answer, Folded)
        assert (answer.text, answer.finishes) == (whole.text, whole.finishes)


async def test_an_event_cut_in_half_is_malformed(provider: str, providers: Mapping[str, Provider]) -> None:
    _, error = await failing(providers[provider].stream(asking(provider, f"{LONG[provider]}?malformed=9")))

    assert (error.code, error.retryable) == (FailureCode.PROVIDER_MALFORMED, True)


@pytest.mark.parametrize("shape", ["nested", "flat"])
async def test_an_error_inside_the_stream_is_told_with_the_providers_words(
    provider: str, shape: str, providers: Mapping[str, Provider]
) -> None:
    model = f"{LONG[provider]}?error=9&shape={shape}"
    answer, error = await failing(providers[provider].stream(asking(provider, model)))

    code, words = FailureCode.PROVIDER_INTERRUPTED, "The server had an error while processing your request"
    if provider == "anthropic":
        code, words = FailureCode.PROVIDER_OVERLOADED, "Overloaded"
    assert (error.code, error.retryable) == (code, True)
    assert f"broke off its answer: {words}" in str(error)
    assert answer.text


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("fail429=1&retry_after=7", (FailureCode.PROVIDER_RATE_LIMITED, True, 7.0)),
        ("fail500=1", (FailureCode.PROVIDER_UNAVAILABLE, True, None)),
        ("fail529=1", (FailureCode.PROVIDER_OVERLOADED, True, None)),
    ],
)
async def test_a_failing_provider_is_asked_once_and_told_as_it_failed(
    provider: str,
    fault: str,
    told: tuple[FailureCode, bool, float | None],
    providers: Mapping[str, Provider],
    replay: Replay,
) -> None:
    model = f"{SHORT[provider]}?{fault}"
    _, error = await failing(providers[provider].stream(asking(provider, model)))

    assert (error.code, error.retryable, error.retry_after_seconds) == told
    assert len(await replay.requests(model)) == 1


async def test_a_provider_that_closes_the_connection_is_asked_once_more_at_once(
    provider: str, providers: Mapping[str, Provider], replay: Replay
) -> None:
    model = f"{SHORT[provider]}?reset=2"
    _, error = await failing(providers[provider].stream(asking(provider, model)))

    assert (error.code, error.retryable) == (FailureCode.PROVIDER_UNAVAILABLE, True)
    assert len(await replay.requests(model)) == 2


async def test_an_unknown_model_is_not_found(provider: str, providers: Mapping[str, Provider]) -> None:
    _, error = await failing(providers[provider].stream(asking(provider, "no-such-model")))

    assert (error.code, error.retryable) == (FailureCode.MODEL_NOT_FOUND, False)
    assert "answered 404: no transcript 'no-such-model'" in str(error)


@pytest.mark.parametrize(("stall", "pieces"), [("ttfb=60000", 0), ("stall=0", 0), ("stall=20", 10)])
async def test_cancelling_who_waits_closes_the_connection_at_once(
    provider: str, stall: str, pieces: int, providers: Mapping[str, Provider], replay: Replay
) -> None:
    model = f"{LONG[provider]}?{stall}&id=cancelled"
    answer = Folded()
    enough = asyncio.Event()

    async def read() -> None:
        async for piece in providers[provider].stream(asking(provider, model)):
            answer.add(piece)
            if len(answer.text) >= pieces:
                enough.set()

    reading = asyncio.create_task(read())
    if pieces:
        await asyncio.wait_for(enough.wait(), 5)
    else:
        await replay.asked(model)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading

    assert [each["outcome"] for each in await replay.requests(model)] == ["client gone"]


async def test_closing_the_generator_closes_the_connection_at_once(
    provider: str, providers: Mapping[str, Provider], replay: Replay
) -> None:
    model = f"{LONG[provider]}?delay=50&id=closed"
    async with aclosing(providers[provider].stream(asking(provider, model))) as pieces:
        await anext(pieces)

    (seen,) = await replay.requests(model)
    assert seen["outcome"] == "client gone"
    assert seen["events_sent"] < 40


async def test_hundreds_of_streams_are_open_at_once(
    provider: str, providers: Mapping[str, Provider], replay: Replay
) -> None:
    model = f"{SHORT[provider]}?stall=3&id=hundreds"
    readers = [asyncio.create_task(read(providers[provider].stream(asking(provider, model)))) for _ in range(300)]

    await replay.asked(model, times=300)
    for reader in readers:
        reader.cancel()

    await asyncio.gather(*readers, return_exceptions=True)
    assert {each["outcome"] for each in await replay.requests(model)} == {"client gone"}


async def test_a_request_arrives_as_it_was_made_and_is_not_tried_again(
    provider: ApiKind, providers: Mapping[str, Provider], replay: Replay
) -> None:
    model = f"{SHORT[provider]}?id=asked"
    fields: dict[str, Any] = {
        "model": model,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "é"}, {"type": "image", "url": "https://a.test/b"}]},
            {"role": "assistant", "content": "", "tool_calls": [{"id": "a", "name": "f", "arguments": '{"x": 1.5}'}]},
            {"role": "tool", "tool_call_id": "a", "content": "\u2028"},
        ],
        "temperature": 0.5,
        "extra": {"metadata": {"a": None, "b": [1, 2**53 + 1, 1e-7]}},
    }
    await read(providers[provider].stream(wire.asking(provider, **fields)))

    (seen,) = await replay.requests(model)
    assert seen["request"] == await wire.sent(provider, **fields)
    assert seen["retry_header"] == "0"
