"""What holds for the answers of all adapters."""

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing

import aiohttp
import httpx2
import pytest

from tailrace.api_kinds import API_KINDS, ApiKind
from tailrace.errors import FailureCode, ProviderError
from tailrace.events import Delta, ToolCall
from tailrace_worker.providers.base import Alive, Finish, Piece, TokenCounts
from tailrace_worker.providers.errors import Failures
from tailrace_worker.providers.http.answer_limits import AnswerLimits
from tailrace_worker.providers.tool_calls import MAX_TOOL_CALLS
from tailrace_worker.providers.vocabulary import Skipped
from tests.support.wire import EVENT_STREAM, Client, adapter, asking, pieces_of, read, skipped, sse

HI = Delta(text="Hi")
TEXTS: dict[ApiKind, bytes] = {
    "openai": sse({"choices": [{"index": 0, "delta": {"content": "Hi"}}]}),
    "openai-responses": sse({"type": "response.output_text.delta", "output_index": 0, "delta": "Hi"}),
    "anthropic": sse({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}),
}
LASTS: dict[ApiKind, bytes] = {
    "openai": sse({"choices": [{"index": 0, "delta": None, "finish_reason": "stop"}]}),
    "openai-responses": sse({"type": "response.completed", "response": {"status": "completed"}}),
    "anthropic": sse({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, {"type": "message_stop"}),
}
WHOLES: dict[ApiKind, object] = {
    "openai": {"choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}]},
    "openai-responses": {
        "status": "completed",
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}],
    },
    "anthropic": {"type": "message", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"},
}

all_kinds = pytest.mark.parametrize("kind", API_KINDS)


async def heard(
    kind: ApiKind, client: Client, *, stream: bool = True, limits: AnswerLimits | None = None
) -> tuple[list[Piece], ProviderError | None]:
    """What was read, and what went wrong then."""
    pieces: list[Piece] = []
    try:
        async for piece in pieces_of(adapter(kind, client, limits=limits), asking(kind, stream=stream)):
            pieces.append(piece)  # noqa: PERF401 - what came before an error counts
    except ProviderError as error:
        return pieces, error
    return pieces, None


def code_of(error: ProviderError | None) -> FailureCode | None:
    return error.code if error else None


def contents(pieces: list[Piece]) -> list[Piece]:
    return [piece for piece in pieces if not isinstance(piece, TokenCounts | Finish)]


@all_kinds
@pytest.mark.parametrize("body", [b"", b"<html>Welcome</html>", b": ping\n\n", b"[]"])
async def test_an_answer_without_a_single_event_is_interrupted(kind: ApiKind, body: bytes) -> None:
    pieces, error = await heard(kind, Client([body]))

    assert code_of(error) is FailureCode.PROVIDER_INTERRUPTED
    assert pieces == []


@all_kinds
@pytest.mark.parametrize("body", [b"", b"<html>Welcome</html>", b"[]"])
async def test_what_is_no_event_stream_is_told_by_its_type_with_the_address_to_check(
    kind: ApiKind, body: bytes
) -> None:
    pieces, error = await heard(kind, Client([body], content_type="text/html; charset=utf-8"))

    assert code_of(error) is FailureCode.PROVIDER_MALFORMED
    assert "text/html instead of an event stream" in str(error)
    assert "check ACME_URL" in str(error)
    assert pieces == []


@all_kinds
async def test_a_stream_that_ends_cleanly_without_its_last_event_is_interrupted(kind: ApiKind) -> None:
    pieces, error = await heard(kind, Client([TEXTS[kind]]))

    assert code_of(error) is FailureCode.PROVIDER_INTERRUPTED
    assert contents(pieces) == [HI]


@all_kinds
@pytest.mark.parametrize(
    "event", [b"data: {\n\n", b"data: [DON\n\n", b'data: "\xff"\n\n', b"data: 7\n\n", b"data: " + b"[" * 9999 + b"\n\n"]
)
async def test_what_is_no_json_of_the_protocol_is_malformed(kind: ApiKind, event: bytes) -> None:
    pieces, error = await heard(kind, Client([TEXTS[kind], event, LASTS[kind]]))

    assert code_of(error) is FailureCode.PROVIDER_MALFORMED
    assert contents(pieces) == [HI]


LENIENT = [
    (rb'"Hi\ud83d"', "Hi\ufffd"),
    (rb'"\ude00"', "\ufffd"),
    (rb'"Hi", "new": [NaN, -Infinity, "\ud83d"]', "Hi"),
]
"""What is no JSON, but read by Python and so by the SDKs: from gateways that cut inside of an emoji, for one."""


@all_kinds
@pytest.mark.parametrize(("said", "text"), LENIENT)
@pytest.mark.parametrize("stream", [True, False])
async def test_what_the_sdks_take_for_json_is_read(kind: ApiKind, said: bytes, text: str, stream: bool) -> None:
    whole = json.dumps(WHOLES[kind]).encode()
    body = TEXTS[kind].replace(b'"Hi"', said) + LASTS[kind] if stream else whole.replace(b'"Hi"', said)
    pieces, error = await heard(kind, Client([body], content_type=EVENT_STREAM if stream else ""), stream=stream)

    assert error is None
    assert "".join(piece.text for piece in contents(pieces) if isinstance(piece, Delta)) == text


@all_kinds
async def test_what_is_new_is_skipped_whatever_json_it_is(kind: ApiKind) -> None:
    new = rb'data: {"object": "new", "type": "new", "?": [NaN, "\ud83d"]}' + b"\n\n"
    client = Client([TEXTS[kind], new, LASTS[kind]])
    provider = adapter(kind, client)

    assert contents([piece async for piece in pieces_of(provider, asking(kind))]) == [HI]
    assert skipped(provider) == {"new": 1}


@all_kinds
async def test_an_event_that_does_not_end_is_malformed(kind: ApiKind) -> None:
    megabytes = [b"data: "] + [b"x" * 1024 * 1024] * 17
    _, error = await heard(kind, Client(megabytes))

    assert code_of(error) is FailureCode.PROVIDER_MALFORMED
    assert "16,777,216 bytes" in str(error)


@all_kinds
async def test_events_without_data_say_nothing(kind: ApiKind) -> None:
    pieces, error = await heard(kind, Client([TEXTS[kind], b"event: heartbeat\ndata:\n\n", LASTS[kind]]))

    assert error is None
    assert contents(pieces) == [HI]


@all_kinds
@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b'{"error": {"type": "overloaded_error", "message": "So it is."}}', "provider_overloaded", "So it is."),
        (b'{"type": "error", "code": "server_error", "message": "So it is."}', "provider_interrupted", "So it is."),
        (b'{"error": "So it is."}', "provider_interrupted", "So it is."),
        (b'{"error": {"code": 429, "message": "So it is."}}', "provider_rate_limited", "So it is."),
        (b'{"error": {"code": "502", "message": "So it is."}}', "provider_unavailable", "So it is."),
        (rb'{"error": {"code": 429, "message": "So\ud83d it is.", "?": NaN}}', "provider_rate_limited", "So? it is."),
        (b"So it is.", "provider_interrupted", "So it is."),
        (b"\xff", "provider_interrupted", "broke off"),
        (b"", "provider_interrupted", "broke off"),
        (b"[7]", "provider_interrupted", "an error without a message"),
    ],
)
async def test_an_event_by_the_name_of_error_is_one_whatever_it_says(
    kind: ApiKind, data: bytes, code: str, words: str
) -> None:
    pieces, error = await heard(kind, Client([TEXTS[kind], b"event: error\ndata: " + data + b"\n\n", LASTS[kind]]))

    assert code_of(error) == code
    assert words in str(error)
    assert contents(pieces) == [HI]


@all_kinds
@pytest.mark.parametrize(
    "broken",
    [
        httpx2.ReadError("cut"),
        httpx2.ReadTimeout("silent"),
        httpx2.RemoteProtocolError("cut"),
        httpx2.DecodingError("no gzip"),
        aiohttp.ClientPayloadError("cut"),
        aiohttp.ServerDisconnectedError(),
        ConnectionResetError("cut"),
        TimeoutError(),
    ],
    ids=repr,
)
@pytest.mark.parametrize("stream", [True, False])
async def test_what_breaks_under_the_sdks_is_interrupted_unless_all_was_said(
    kind: ApiKind, broken: Exception, stream: bool
) -> None:
    content_type = "text/event-stream" if stream else "application/json"
    client = Client([TEXTS[kind] if stream else b"{"], error=broken, content_type=content_type)
    pieces, error = await heard(kind, client, stream=stream)

    assert code_of(error) is FailureCode.PROVIDER_INTERRUPTED
    assert contents(pieces) == ([HI] if stream else [])
    if stream:
        pieces, error = await heard(kind, Client([TEXTS[kind] + LASTS[kind]], error=broken))
        assert (contents(pieces), error) == ([HI], None)


@all_kinds
async def test_an_answer_is_read_as_what_it_is_and_not_as_what_was_asked_for(kind: ApiKind) -> None:
    streamed, whole = TEXTS[kind] + LASTS[kind], json.dumps(WHOLES[kind], indent=1).encode()
    for body, content_type, stream in [
        (streamed, "text/event-stream; charset=utf-8", True),
        (streamed, "application/json", True),
        (b"\n " + whole, "application/json", True),
        (whole, "text/event-stream", True),
        (whole, "application/json", False),
        (whole, "", False),
        (streamed, "Text/Event-Stream", False),
    ]:
        pieces, error = await heard(kind, Client([body], content_type=content_type), stream=stream)
        assert error is None
        assert [type(piece) for piece in pieces if not isinstance(piece, TokenCounts)] == [Delta, Finish]


@all_kinds
@pytest.mark.parametrize("typed", [b'"type": "error", ', b""])
@pytest.mark.parametrize("how", ["whole", "in place of a stream", "in a stream"])
async def test_an_error_with_the_status_of_success_is_told_in_its_words(kind: ApiKind, typed: bytes, how: str) -> None:
    said = b"{" + typed + b'"error": {"type": "rate_limit_error", "message": "So it is."}}'
    body = b"data: " + said + b"\n\n" if how == "in a stream" else said
    _, error = await heard(kind, Client([body], content_type="application/json"), stream=how != "whole")

    assert code_of(error) is FailureCode.PROVIDER_RATE_LIMITED
    assert "So it is." in str(error)


@all_kinds
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("before", [b"", b" \r\n", b"\xef\xbb\xbf\n"])
async def test_a_whole_answer_comes_in_any_pieces(kind: ApiKind, before: bytes, stream: bool) -> None:
    body = before + json.dumps(WHOLES[kind]).encode()
    client = Client([body[at : at + 1] for at in range(len(body))], content_type="application/json")

    assert contents((await heard(kind, client, stream=stream))[0]) == [HI]


@all_kinds
async def test_white_space_without_an_end_is_no_answer(kind: ApiKind) -> None:
    client = Client([b"\n"] * 10_000)

    assert code_of((await heard(kind, client))[1]) is FailureCode.PROVIDER_INTERRUPTED


@all_kinds
@pytest.mark.parametrize("body", [b"", b"<html>Welcome</html>", b"[]", b"\xff", b"7"])
async def test_a_whole_answer_that_is_no_json_of_the_protocol_is_malformed(kind: ApiKind, body: bytes) -> None:
    _, error = await heard(kind, Client([body], content_type="application/json"), stream=False)

    assert code_of(error) is FailureCode.PROVIDER_MALFORMED


@all_kinds
async def test_a_whole_answer_has_a_largest_size(kind: ApiKind) -> None:
    body = json.dumps(WHOLES[kind]).encode()
    fits = Client([body], content_type="application/json")
    too_large = Client([body, b" "], content_type="application/json")
    limits = AnswerLimits(max_body_bytes=len(body))

    assert (await heard(kind, fits, stream=False, limits=limits))[1] is None
    _, error = await heard(kind, too_large, stream=False, limits=limits)
    assert code_of(error) is FailureCode.PROVIDER_MALFORMED


class Staying(httpx2.AsyncByteStream):
    """A server that has said all, and keeps its stream open."""

    def __init__(self, said: bytes) -> None:
        self._said = said

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._said
        await asyncio.Event().wait()


@all_kinds
async def test_a_finished_answer_waits_for_no_server(kind: ApiKind) -> None:
    client = Client(())
    client.response.stream = Staying(TEXTS[kind] + LASTS[kind])

    async with asyncio.timeout(5):
        pieces, error = await heard(kind, client, limits=AnswerLimits(rest_seconds=0.05, settle_seconds=0.05))

    assert (contents(pieces), error) == ([HI], None)
    assert client.response.is_closed


@all_kinds
async def test_a_finished_answer_reads_no_more_than_a_little(kind: ApiKind) -> None:
    done = b"data: [DONE]\n\n" if kind == "openai" else b""
    client = Client([TEXTS[kind], LASTS[kind] + done, *[TEXTS[kind]] * 20])
    pieces, error = await heard(kind, client, limits=AnswerLimits(max_rest_bytes=10 * len(TEXTS[kind])))

    assert (contents(pieces), error) == ([HI], None)
    assert client.chunks.taken == 2 + 10 + 1


@all_kinds
@pytest.mark.parametrize("at_once", [True, False])
async def test_what_follows_the_last_word_does_not_count(kind: ApiKind, at_once: bool) -> None:
    done = b"data: [DONE]\n\n" if kind == "openai" else b""
    chunks = [TEXTS[kind], LASTS[kind] + done, TEXTS[kind], LASTS[kind], b"data: {\n\n"]
    pieces, error = await heard(kind, Client([b"".join(chunks)] if at_once else chunks))

    assert error is None
    assert [type(piece) for piece in pieces if not isinstance(piece, TokenCounts)] == [Delta, Finish]


ENDLESS: dict[ApiKind, list[dict[str, object]]] = {
    "openai": [
        {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": n, "id": f"c{n}", "function": {"name": "f"}}]}}]}
        for n in range(MAX_TOOL_CALLS + 1)
    ],
    "openai-responses": [
        {
            "type": "response.output_item.added",
            "output_index": n,
            "item": {"type": "function_call", "call_id": f"c{n}", "name": "f"},
        }
        for n in range(MAX_TOOL_CALLS + 1)
    ],
    "anthropic": [
        {"type": "content_block_start", "index": n, "content_block": {"type": "tool_use", "id": f"c{n}", "name": "f"}}
        for n in range(MAX_TOOL_CALLS + 1)
    ],
}


@all_kinds
async def test_a_server_that_counts_on_for_ever_is_malformed(kind: ApiKind) -> None:
    pieces, error = await heard(kind, Client([sse(*ENDLESS[kind])]))

    assert code_of(error) is FailureCode.PROVIDER_MALFORMED
    assert [piece.index for piece in pieces if isinstance(piece, ToolCall)] == list(range(MAX_TOOL_CALLS))


async def test_a_server_that_begins_items_for_ever_is_malformed() -> None:
    events = [{"type": "response.output_text.delta", "output_index": n, "delta": "Hi"} for n in range(1_025)]
    pieces, error = await heard("openai-responses", Client([sse(*events)]))

    assert code_of(error) is FailureCode.PROVIDER_MALFORMED
    assert len(pieces) == 1_024


async def test_a_response_of_many_items_is_read_to_its_end() -> None:
    def item(number: int) -> list[object]:
        done = {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}
        return [
            {"type": "response.output_text.delta", "output_index": number, "delta": "Hi"},
            {"type": "response.output_item.done", "output_index": number, "item": done},
        ]

    stream = sse(*(event for number in range(2_000) for event in item(number))) + LASTS["openai-responses"]
    pieces, error = await heard("openai-responses", Client([stream]))

    assert error is None
    assert contents(pieces) == [HI] * 2_000


def test_a_new_kind_is_logged_once_and_kinds_do_not_pile_up(caplog: pytest.LogCaptureFixture) -> None:
    new = Skipped("Acme", str)
    with caplog.at_level(logging.WARNING):
        for number in range(1_000):
            new.add("a_new_event")
            new.add(f"kind {number}")

    assert new.counts["a_new_event"] == 1_000
    assert new.counts["others"] == 901
    assert len(new.counts) == len(caplog.records) == 101
    assert "Acme sent 'a_new_event'" in caplog.text


@pytest.mark.parametrize("before", ["", "x" * 90])
def test_a_new_kind_is_logged_and_counted_without_the_key_that_it_echoes(
    before: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ACME_KEY", "a/key+of=acme")
    new = Skipped("Acme", Failures("Acme", key_variables=("ACME_KEY",), url="ACME_URL").redacted)
    new.add(f"{before}a/key+of=acme")

    assert f"Acme sent '{before}[key]'" in caplog.text
    assert list(new.counts) == [f"{before}[key]"]


@all_kinds
async def test_a_kind_is_counted_by_a_name_of_bounded_length(kind: ApiKind) -> None:
    long = "x" * 100_000
    provider = adapter(kind, Client([sse({"type": long, "object": long}), LASTS[kind]]))
    assert [type(piece) async for piece in provider.stream(asking(kind))][-1] is Finish

    assert skipped(provider) == {"x" * 100: 1}


@all_kinds
async def test_closing_the_generator_closes_the_answer(kind: ApiKind) -> None:
    client = Client([TEXTS[kind]] * 3)
    pieces = adapter(kind, client).stream(asking(kind))

    assert await anext(pieces) == HI
    assert not client.response.is_closed
    await pieces.aclose()

    assert client.response.is_closed


@all_kinds
async def test_the_same_bytes_are_the_same_answer_however_they_are_cut(kind: ApiKind) -> None:
    body = TEXTS[kind] * 3 + LASTS[kind]

    assert await read(kind, *(body[at : at + 1] for at in range(len(body)))) == await read(kind, body)


@pytest.mark.process
def test_the_sdks_are_loaded_when_providers_are_opened_and_not_before() -> None:
    script = "import sys, tailrace_worker.providers; print({'openai', 'anthropic'} & set(sys.modules))"

    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)

    assert loaded.stdout.strip() == "set()"


class StalledBody(httpx2.AsyncByteStream):
    """A body that stops in the midst of its first event, until it goes on."""

    def __init__(self, body: bytes) -> None:
        self.begun, self.goes_on = asyncio.Event(), asyncio.Event()
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body[:20]
        self.begun.set()
        await self.goes_on.wait()
        yield self._body[20:]


@all_kinds
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_an_answer_that_waits_for_room_in_memory_says_so_and_reads_nothing(kind: ApiKind, stream: bool) -> None:
    body = TEXTS[kind] + LASTS[kind] if stream else json.dumps(WHOLES[kind]).encode()
    client = Client([body[:20], body[20:]], content_type=EVENT_STREAM if stream else "application/json")
    stalled, late = StalledBody(TEXTS[kind] + LASTS[kind]), client.response
    provider = adapter(kind, client, limits=AnswerLimits(large_bytes=9, shared_bytes=0))
    heard: list[Piece | Alive] = []
    waits = asyncio.Event()

    async def hold_room() -> None:
        client.response = httpx2.Response(200, headers={"content-type": EVENT_STREAM}, stream=stalled)
        async for _ in pieces_of(provider, asking(kind)):
            pass

    async def read_all() -> None:
        async with aclosing(provider.stream(asking(kind, stream=stream))) as pieces:
            async for piece in pieces:
                heard.append(piece)
                if piece == Alive(is_held=True):
                    waits.set()

    async with asyncio.timeout(10):
        holding = asyncio.create_task(hold_room())
        await stalled.begun.wait()
        client.response = late
        reading = asyncio.create_task(read_all())
        await waits.wait()
        await asyncio.sleep(0)
        taken, said = client.chunks.taken, list(heard)
        assert said[-1] == Alive(is_held=True)
        stalled.goes_on.set()
        await asyncio.gather(holding, reading)
    assert taken < 2 or not stream
    assert heard[len(said)] == Alive()
    assert [piece for piece in heard if isinstance(piece, Delta)] == [HI]
