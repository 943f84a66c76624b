"""The adapters against whatever a server may send, for a few seconds each."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tailrace.api_kinds import API_KINDS, ApiKind
from tailrace.errors import ProviderError
from tailrace_worker.providers.base import Piece
from tests.recorded.folded import folded
from tests.support import event_streams, wire_events
from tests.support.wire import EVENT_STREAM, Client, adapter, asking, pieces_of, skipped

pytestmark = pytest.mark.slow

bounded = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
all_kinds = pytest.mark.parametrize("kind", API_KINDS)


async def _hear(kind: ApiKind, client: Client, *, stream: bool) -> list[Piece]:
    """What is read; anything but a `ProviderError` fails the test."""
    pieces: list[Piece] = []
    provider = adapter(kind, client)
    try:
        async for piece in pieces_of(provider, asking(kind, stream=stream)):
            pieces.append(piece)  # noqa: PERF401 - what came before an error counts
    except ProviderError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 500
        finishes = 0
    else:
        finishes = 1
    assert len(folded(pieces).finishes) == finishes
    assert len(skipped(provider)) <= 101
    assert client.response.is_closed
    return pieces


def hear(kind: ApiKind, *chunks: bytes, stream: bool = True) -> list[Piece]:
    content_type = EVENT_STREAM if stream else "application/json"
    return asyncio.run(_hear(kind, Client(chunks, content_type=content_type), stream=stream))


@all_kinds
@bounded
@given(st.data())
def test_no_stream_raises_anything_but_our_own_and_how_it_is_cut_changes_nothing(
    kind: ApiKind, data: st.DataObject
) -> None:
    stream = data.draw(wire_events.streams(kind))

    assert hear(kind, *data.draw(event_streams.cut(stream))) == hear(kind, stream)


@all_kinds
@bounded
@given(st.lists(event_streams.chunks, max_size=8), st.integers(0, 8))
def test_no_bytes_raise_anything_but_our_own(kind: ApiKind, chunks: list[bytes], place: int) -> None:
    events = [b"data: " + wire_events.encoded(each) + b"\n\n" for each in wire_events.TEMPLATES[kind]]

    hear(kind, *chunks[:place], *events[:place], *chunks[place:], *events[place:])


@all_kinds
@bounded
@given(st.data())
def test_no_whole_answer_raises_anything_but_our_own(kind: ApiKind, data: st.DataObject) -> None:
    body = data.draw(wire_events.events(kind).map(wire_events.encoded) | st.binary(max_size=64))

    hear(kind, body, stream=False)
