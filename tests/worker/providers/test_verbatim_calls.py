"""What an adapter sends for a verbatim request, and what it makes of the answer."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tailrace import VerbatimRequest
from tailrace.api_kinds import API_KINDS, ApiKind
from tailrace.errors import FailureCode, ProviderError
from tailrace.events import Delta, Frames
from tailrace.raw_frames import Frame, FrameDecoder
from tailrace_worker.providers.base import Alive, Finish, Piece
from tests.support import wire

each_kind = pytest.mark.parametrize("kind", API_KINDS)
CHAT = [b'{"choices":[{"delta":{"content":"Hi"}}]}', b'{"choices":[{"delta":{},"finish_reason":"stop"}]}', b"[DONE]"]
STOPPED: list[dict[str, Any]] = [
    {"type": "message_start", "message": {}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
    {"type": "message_stop"},
]

BODIES: Mapping[ApiKind, bytes] = {
    "openai": b'{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}',
    "openai-responses": b'{"status":"completed","output":[{"type":"message","content":'
    b'[{"type":"output_text","text":"Hi"}]}]}',
    "anthropic": b'{"type":"message","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn"}',
}


class Recording(wire.Client):
    """Remembers the headers too."""

    headers: Mapping[str, str]

    async def post(self, _path: str, *, content: bytes, **how: Any) -> Any:
        self.headers = how["options"]["headers"]
        return await super().post(_path, content=content, **how)


def asking(kind: ApiKind = "openai", **fields: Any) -> VerbatimRequest:
    return VerbatimRequest.model_validate({"provider": kind, "body": {"model": "m"}, **fields})


async def read(client: wire.Client, request: VerbatimRequest, pieces: list[Piece] | None = None) -> list[Piece]:
    """Read an answer. If it fails, `pieces` has what came before."""
    kind: Any = request.provider
    heard = [] if pieces is None else pieces
    async for piece in wire.adapter(kind, client).stream_verbatim(request):
        if not isinstance(piece, Alive):
            heard.append(piece)
    return heard


def frames_of(pieces: list[Piece]) -> list[Frame]:
    raws = [getattr(piece, "raw", None) for piece in pieces]
    return FrameDecoder().feed(b"".join(raw for raw in raws if raw))


def stream(*datas: bytes) -> bytes:
    return b"".join(b"data: %b\n\n" % data for data in datas)


@pytest.mark.parametrize("stream", [True, False])
@each_kind
async def test_the_body_goes_out_as_it_is_but_for_stream(kind: ApiKind, stream: bool) -> None:
    body: dict[str, Any] = {
        "stream": None,
        "model": "m",
        "messages": "whatever",
        "tools": 5,
        "mcp_servers": [],
        "x": 1.0,
        "n": None,
    }
    client = Recording([])
    with pytest.raises(ProviderError):
        await read(client, asking(kind, body=body, headers={"anthropic-beta": "a"}, stream=stream))
    (sent,) = client.bodies
    assert list(sent.items()) == [("stream", stream), *list(body.items())[1:]]
    assert client.headers == {"anthropic-beta": "a"}


@pytest.mark.parametrize(
    "messages",
    [5, [5, None], [{"tool_calls": 5}], [{"tool_calls": [None]}], {"a": 1}, [[{"tool_calls": [1]}]]],
    ids=repr,
)
@each_kind
async def test_nothing_in_a_body_is_taken_to_have_a_shape(kind: ApiKind, messages: Any) -> None:
    with pytest.raises(ProviderError) as raised:
        await read(wire.Client([]), asking(kind, body={"model": "m", "messages": messages, "input": messages}))
    assert raised.value.code is FailureCode.PROVIDER_INTERRUPTED


async def test_each_frame_is_on_the_last_piece_of_its_event_or_later_in_the_chunk() -> None:
    first, last, done = CHAT
    role = b'{"choices":[{"delta":{"role":"assistant"}}]}'
    chunks = [stream(role), b": comment\n\nid: 5\nretry: 7\n\n", stream(role, first), stream(last), stream(done)]
    pieces = await read(wire.Client(chunks), asking())
    assert pieces == [
        Delta(text="Hi", raw=b":%b\n:%b\n:%b\n" % (role, role, first)),
        Finish(reason="stop", provider_reason="stop", raw=b":%b\n:%b\n" % (last, done)),
    ]


async def test_frames_without_content_wait_for_it_only_at_the_beginning_of_an_answer() -> None:
    role = b'{"choices":[{"delta":{"role":"assistant"}}]}'
    line = b":%b\n" % role
    pieces = await read(wire.Client([*[stream(role)] * 5, *map(stream, CHAT)]), asking())
    assert [getattr(piece, "raw", None) for piece in pieces[:2]] == [line * 4, line]
    assert [type(piece) for piece in pieces] == [Frames, Frames, Delta, Finish]


@each_kind
async def test_the_whole_body_of_a_plain_call_is_one_frame(kind: ApiKind) -> None:
    body = b"\r\n " + json.dumps(json.loads(BODIES[kind]), indent=1).replace("\n", "\r\n").encode() + b"\n"
    client = wire.Client([body[:9], body[9:]], content_type="application/json")
    pieces = await read(client, asking(kind, stream=False))
    assert frames_of(pieces) == [Frame(b"", body)]
    assert [piece.text for piece in pieces if isinstance(piece, Delta)] == ["Hi"]


async def test_done_is_kept_after_the_last_event_of_a_protocol_that_has_none() -> None:
    pieces = await read(wire.Client([wire.sse(*STOPPED), stream(b"[DONE]")]), asking("anthropic"))
    assert [frame.name for frame in frames_of(pieces)] == [b"message_start", b"message_delta", b"message_stop", b""]


async def test_an_error_that_the_provider_sends_is_in_the_error_with_what_follows_it() -> None:
    error = b'{"error":{"message":"No.","code":"server_error"}}'
    chunks = [stream(CHAT[0]), stream(error, b'{"more":1}'), stream(b"[DONE]")]
    stream_of = wire.adapter("openai", wire.Client(chunks)).stream_verbatim(asking())
    assert await anext(stream_of) == Delta(text="Hi", raw=b":%b\n" % CHAT[0])
    with pytest.raises(ProviderError) as raised:
        await anext(stream_of)
    assert raised.value.raw == b':%b\n:{"more":1}\n:[DONE]\n' % error


async def test_an_error_that_quotes_a_key_has_no_frames() -> None:
    error = b'{"error":{"message":"Wrong key: sk-abcdefghijklmnopqrstuvwxyz012345","code":"server_error"}}'
    with pytest.raises(ProviderError, match=r"\[key\]") as raised:
        await read(wire.Client([stream(CHAT[0]), stream(error)]), asking())
    assert raised.value.raw is None


async def test_a_call_that_fails_at_the_beginning_of_its_answer_leaves_no_frame_with_readers() -> None:
    start: dict[str, Any] = {"type": "message_start", "message": {}}
    error: dict[str, Any] = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    client = wire.Client([wire.sse(start), wire.sse({"type": "ping"}), wire.sse(error)])
    pieces: list[Piece] = []
    with pytest.raises(ProviderError) as raised:
        await read(client, asking("anthropic"), pieces)
    assert pieces == []
    assert raised.value.code is FailureCode.PROVIDER_OVERLOADED
    assert raised.value.raw is not None


@pytest.mark.parametrize(
    "chunks",
    [[stream(CHAT[0])], [stream(CHAT[0]), b"data: {nonsense}\n\n"], [stream(CHAT[0]), stream(b"[DONE]", b"x")[:9]]],
    ids=["cut", "malformed", "cut at the end"],
)
async def test_an_error_that_the_provider_did_not_send_has_no_frames(chunks: list[bytes]) -> None:
    with pytest.raises(ProviderError) as raised:
        await read(wire.Client(chunks), asking())
    assert raised.value.raw is None


@each_kind
async def test_a_whole_body_is_no_frame_of_a_stream(kind: ApiKind) -> None:
    with pytest.raises(ProviderError, match="a whole answer instead of an event stream") as raised:
        await read(wire.Client([BODIES[kind]], content_type="application/json"), asking(kind))
    assert (raised.value.code, raised.value.raw) == (FailureCode.PROVIDER_MALFORMED, None)
    error = b'{"error":{"message":"No.","type":"invalid_request_error"}}'
    with pytest.raises(ProviderError, match=r"No\.") as raised:
        await read(wire.Client([error], content_type="application/json"), asking(kind))
    assert (raised.value.code, raised.value.raw) == (FailureCode.PROVIDER_REJECTED, None)


@each_kind
async def test_a_stream_is_not_the_body_of_a_plain_call(kind: ApiKind) -> None:
    with pytest.raises(ProviderError, match="an event stream, which was not requested") as raised:
        await read(wire.Client([stream(b"{}")]), asking(kind, stream=False))
    assert (raised.value.code, raised.value.raw) == (FailureCode.PROVIDER_MALFORMED, None)


async def test_a_gap_in_the_numbers_is_an_error_of_ours() -> None:
    event: dict[str, Any] = {"type": "response.in_progress", "response": {}}
    said = wire.sse({**event, "sequence_number": 0}, {**event, "sequence_number": 2})
    with pytest.raises(ProviderError, match="are lost") as raised:
        await read(wire.Client([said]), asking("openai-responses"))
    assert raised.value.raw is None


@pytest.mark.parametrize(
    ("kind", "whole"),
    [("openai", stream(*CHAT[:2])), ("anthropic", wire.sse(*STOPPED))],
    ids=["after the finish reason", "after the last event"],
)
async def test_frames_without_end_after_a_complete_answer_are_not_read_without_end(kind: ApiKind, whole: bytes) -> None:
    ping = stream(b'{"x":"%b"}' % (b"x" * 65_000))
    client = wire.Client([whole, *[ping] * 60])
    pieces = await read(client, asking(kind))
    assert isinstance(pieces[-1], Finish)
    assert client.chunks.taken < 60
    assert len(pieces[-1].raw or b"") < 1_200_000


async def test_text_after_the_last_event_of_the_protocol_is_in_no_frame() -> None:
    text: dict[str, Any] = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "More"}}
    pieces = await read(wire.Client([wire.sse(*STOPPED, text), stream(b"[DONE]")]), asking("anthropic"))
    assert [frame.name for frame in frames_of(pieces)] == [b"message_start", b"message_delta", b"message_stop", b""]
