"""Events out of bytes, however they are cut."""

from collections.abc import Iterable
from itertools import repeat

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tailrace_worker.providers.http.sse import EventStreamDecoder, EventTooLarge, ServerSentEvent
from tests.support.event_streams import chunks, cut, events_of, largest_event_bytes

MIB = 1024 * 1024

streams = st.lists(chunks, max_size=6)


def decoded(stream: Iterable[bytes]) -> list[ServerSentEvent]:
    decoder = EventStreamDecoder()
    return [event for chunk in stream for event in decoder.feed(chunk)]


def bytewise(stream: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in stream]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [(b"", b"a")]),
        (b"event: x\ndata: a\n\n", [(b"x", b"a")]),
        (b"data: a\nevent: x\n\ndata: b\n\n", [(b"x", b"a"), (b"", b"b")]),
        (b"data: a\r\n\r\ndata: b\r\rdata: c\n\r\n", [(b"", b"a"), (b"", b"b"), (b"", b"c")]),
        (b"data: a\r\ndata: b\r\nevent: x\r\n\r\n", [(b"x", b"a\nb")]),
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [(b"", b"YHOO\n+2\n10")]),
        (b": hi\n\ndata: a\n: still there\ndata\n\n", [(b"", b"a\n")]),
        (b"data\n\ndata\ndata\n\ndata:", [(b"", b""), (b"", b"\n")]),
        (b"data:test\n\ndata: test\n\ndata:  test\n\n", [(b"", b"test"), (b"", b"test"), (b"", b" test")]),
        (b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n", [(b"", b"a")]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
        (b"\xef\xbbdata: a\n\n", []),
        (b"id: 7\nretry: 10\ndata: a\nData: b\n data: c\n\n", [(b"", b"a")]),
        (b"event: x\n\ndata: a\n\n", [(b"", b"a")]),
        (b"data: a\x0b\x0c\x1c\x85\xe2\x80\xa8\n\n", [(b"", b"a\x0b\x0c\x1c\x85\xe2\x80\xa8")]),
        (b"data: a\n", []),
        (b"data: a", []),
        (b"", []),
    ],
    ids=repr,
)
def test_a_stream_says_what_the_standard_says_it_does(stream: bytes, events: list[tuple[bytes, bytes]]) -> None:
    assert events_of(stream) == events
    assert decoded([stream]) == events
    assert decoded(bytewise(stream)) == events


@given(streams)
@example([b"data: a\n\n", b"data: b\rdata: c\n\n"])
@example([b"data: a\n\n", b"\xef\xbb\xbfdata: b\n\n"])
def test_any_chunks_give_the_events_of_the_whole(stream: list[bytes]) -> None:
    assert decoded(stream) == events_of(b"".join(stream))


@given(streams.map(b"".join).flatmap(cut))
def test_any_cut_gives_the_same_events(stream: list[bytes]) -> None:
    assert decoded(stream) == decoded(bytewise(b"".join(stream))) == events_of(b"".join(stream))


@given(streams)
def test_a_chunk_that_is_taken_at_once_says_what_its_lines_say(stream: list[bytes]) -> None:
    at_once, by_lines = EventStreamDecoder(), EventStreamDecoder()
    for chunk in (b"\n", *stream):
        assert at_once.feed(chunk) == [event for byte in bytewise(chunk) for event in by_lines.feed(byte)]
        assert at_once.buffered_bytes == by_lines.buffered_bytes


def test_an_event_comes_with_the_byte_that_ends_it() -> None:
    decoder = EventStreamDecoder()
    assert decoder.feed(b"data: a\r") == []
    assert decoder.feed(b"\n\r") == [(b"", b"a")]
    assert decoder.feed(b"\ndata: b\n\n") == [(b"", b"b")]


@given(streams.map(b"".join).flatmap(cut), st.integers(3, 60))
def test_whether_an_event_is_too_large_does_not_depend_on_the_cut(stream: list[bytes], max_event_bytes: int) -> None:
    decoder = EventStreamDecoder(max_event_bytes=max_event_bytes)
    whole = b"".join(stream)
    events: list[ServerSentEvent] = []
    try:
        for chunk in stream:
            events += decoder.feed(chunk)
    except EventTooLarge:
        assert largest_event_bytes(whole) > max_event_bytes
        assert events == events_of(whole)[: len(events)]
    else:
        assert largest_event_bytes(whole) <= max_event_bytes
        assert events == events_of(whole)


@pytest.mark.slow
def test_an_event_may_have_16_mib() -> None:
    event = b"data: " + b"x" * (16 * MIB - 7) + b"\n\n"
    assert decoded([b"\n", event]) == decoded([b"\n", event[:MIB], event[MIB:]]) == [(b"", event[6:-2])]
    with pytest.raises(EventTooLarge, match=r"more than 16,777,216 bytes"):
        decoded([b"\n", b"data: x" + event[6:]])


@pytest.mark.parametrize("endless", [b"x", b"data: x", b"data:\n", b"data: a\n", b"event: a\n", b"id\r\n", b":\r"])
def test_an_event_that_does_not_end_is_refused_before_it_fills_the_memory(endless: bytes) -> None:
    decoder = EventStreamDecoder(max_event_bytes=MIB)
    chunk = endless * (4096 // len(endless))
    with pytest.raises(EventTooLarge):
        list(map(decoder.feed, repeat(chunk, 2 * MIB // len(chunk))))
    assert decoder.buffered_bytes <= MIB


@pytest.mark.timeout(20)
@pytest.mark.parametrize("chunk", [b"x", b"x\n", b"data: x\n", b"event: x\r\n"])
@pytest.mark.parametrize("held", [b"data: " + b"x" * 15 * MIB, (b"data: " + b"x" * 1000 + b"\n") * 15_000], ids=len)
@pytest.mark.slow
def test_a_chunk_costs_the_same_however_much_is_held(held: bytes, chunk: bytes) -> None:
    # A fraction of a second; minutes where what is held were copied or searched with each chunk.
    decoder = EventStreamDecoder()
    decoder.feed(held)
    for _ in range(100_000):
        decoder.feed(chunk)
