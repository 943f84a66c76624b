"""Every recorded stream, against what the official SDKs themselves make of it and what the index says."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from tailrace import Answer
from tailrace.api_kinds import ApiKind
from tailrace.errors import FailureCode, ProviderError
from tailrace.events import FinishReason
from tailrace_worker.providers.base import Finish, Provider, TokenCounts
from tests.recorded import accumulated
from tests.recorded.accumulated import Accumulated
from tests.recorded.folded import Call, Folded, asking, folded, read
from tests.recorded.replay import Transcript, needed, transcripts
from tests.support import wire

needed()

ACCUMULATED: Mapping[ApiKind, Callable[[str], Awaitable[Accumulated]]] = {
    "openai": accumulated.chat,
    "openai-responses": accumulated.responses,
    "anthropic": accumulated.messages,
}
REASONS: Mapping[str, FinishReason] = {
    "length": "length",
    "max_output_tokens": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
}
"""Every other word in them is a `stop`, unless there is a refusal, or a call of a tool in a response."""
QUOTA = "openai-responses-error-quota"
WAYS = ["", "?crlf=1", "?split=7", "?stall=2&stall_s=0.05&keepalive=10"]

whole_ones = pytest.mark.parametrize("transcript", [each for each in transcripts() if each.name != QUOTA], ids=str)


@pytest.mark.parametrize("way", WAYS)
@whole_ones
async def test_an_answer_reads_as_the_sdk_accumulates_it(
    transcript: Transcript, way: str, providers: Mapping[str, Provider]
) -> None:
    ours = await read(providers[transcript.kind].stream(asking(transcript.kind, transcript.name + way)))

    theirs = await ACCUMULATED[transcript.kind](transcript.name)
    agree(ours, theirs, transcript.kind)
    assert await given_back(ours, transcript.kind) == theirs.signed
    assert ours.usage == told(transcript)
    assert transcript.finish in {ours.finishes[0].provider_reason, "incomplete"}


@whole_ones
async def test_every_answer_is_a_message_of_the_next_turn(transcript: Transcript) -> None:
    answer = Answer()
    for piece in await wire.read(transcript.kind, transcript.body()):
        if not isinstance(piece, TokenCounts | Finish):
            answer.add(piece)
    message = answer.message
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": "done"} for call in message.get("tool_calls", ())
    ]
    user = {"role": "user", "content": "Hi"}

    body = await wire.sent(transcript.kind, messages=[user, message, *results, user])

    assert len(body["input" if transcript.kind == "openai-responses" else "messages"]) >= len(results)


@whole_ones
async def test_an_answer_that_is_not_streamed_reads_the_same(
    transcript: Transcript, providers: Mapping[str, Provider]
) -> None:
    theirs = await ACCUMULATED[transcript.kind](transcript.name)

    ours = folded(await wire.read(transcript.kind, theirs.body, stream=False))

    agree(ours, theirs, transcript.kind)
    assert await given_back(ours, transcript.kind) == theirs.signed_whole


@pytest.mark.parametrize(
    ("name", "notices"),
    [
        ("anthropic-messages-web-search", ["web_search: San Francisco weather today"]),
        (
            "openai-responses-web-search",
            [
                "web_search: OpenTelemetry FastAPI instrumentation capture request and response body",
                "web_search: OTEL_INSTRUMENTATION_HTTP_CAPTURE_BODY Python",
                "web_search: OTEL_INSTRUMENTATION_HTTP_CAPTURE_BODY opentelemetry python",
                (
                    "web_search: site:github.com open-telemetry/opentelemetry-python-contrib"
                    " OTEL_INSTRUMENTATION_HTTP_CAPTURE_BODY"
                ),
                "web_search",
                "web_search",
                "web_search: OTEL_PYTHON_LOG_CORRELATION environment variable",
            ],
        ),
    ],
)
async def test_what_a_server_looks_up_itself_is_noticed(
    name: str, notices: list[str], providers: Mapping[str, Provider]
) -> None:
    (transcript,) = [each for each in transcripts() if each.name == name]

    ours = await read(providers[transcript.kind].stream(asking(transcript.kind, name)))

    assert ours.notices == notices


async def test_an_error_in_the_first_events_is_told_with_the_providers_words(
    providers: Mapping[str, Provider],
) -> None:
    with pytest.raises(ProviderError, match="You exceeded your current quota") as raised:
        await read(providers["openai-responses"].stream(asking("openai-responses", QUOTA)))

    assert (raised.value.code, raised.value.retryable) == (FailureCode.PROVIDER_QUOTA_EXCEEDED, False)


async def test_nothing_in_any_recording_is_unknown() -> None:
    for transcript in transcripts():
        provider = wire.adapter(transcript.kind, wire.Client([transcript.body()]))
        try:
            await read(provider.stream(asking(transcript.kind, transcript.name)))
        except ProviderError:
            assert transcript.name == QUOTA
        assert wire.skipped(provider) == {}


def agree(ours: Folded, theirs: Accumulated, kind: ApiKind) -> None:
    assert (ours.text, ours.refusal, ours.reasoning) == (theirs.text, theirs.refusal, theirs.reasoning)
    assert [parsed(call, kind) for call in ours.calls.values()] == list(theirs.calls)
    assert [(each.url, ours.text[each.start : each.end]) for each in ours.citations] == list(theirs.cited)
    assert ours.usage == theirs.usage
    stop: FinishReason = "refusal" if theirs.refusal else "stop"
    called: FinishReason = "tool_calls" if theirs.calls and kind == "openai-responses" else stop
    assert ours.finishes == [Finish(reason=REASONS.get(theirs.finish, called), provider_reason=theirs.finish)]


async def given_back(ours: Folded, kind: ApiKind) -> list[object]:
    """The signed blocks of reasoning in a later request."""
    if not ours.blocks:
        return []
    turns = [{"role": "assistant", "reasoning": ours.blocks}, {"role": "user", "content": "Go on."}]
    body = await wire.sent(kind, messages=turns)
    content: list[object] = body["input"][:-1] if kind == "openai-responses" else body["messages"][0]["content"]
    return content


def parsed(call: Call, kind: ApiKind) -> Call:
    """As it is compared: Anthropic's SDK knows the arguments parsed alone, and no text for none."""
    if kind != "anthropic":
        return call
    arguments: Any = json.loads(call.arguments or "{}")
    return Call(call_id=call.call_id, name=call.name, arguments=str(arguments))


def told(transcript: Transcript) -> TokenCounts:
    """What the index says was used."""
    usage = transcript.usage
    assert usage
    if transcript.kind == "anthropic":
        return TokenCounts(
            input_tokens=usage["input_tokens"],
            output_tokens=usage["output_tokens"],
            cached_input_tokens=usage["cache_read_input_tokens"],
            cache_write_input_tokens=usage["cache_creation_input_tokens"],
            reasoning_tokens=usage.get("output_tokens_details", {}).get("thinking_tokens"),
        )
    read, written = ("prompt", "completion") if transcript.kind == "openai" else ("input", "output")
    return TokenCounts(
        input_tokens=usage[f"{read}_tokens"],
        output_tokens=usage[f"{written}_tokens"],
        cached_input_tokens=usage.get(f"{read}_tokens_details", {}).get("cached_tokens"),
        cache_write_input_tokens=usage.get(f"{read}_tokens_details", {}).get("cache_write_tokens"),
        reasoning_tokens=usage[f"{written}_tokens_details"]["reasoning_tokens"],
    )
