"""The decoder of event streams against whatever may come, for a few seconds."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace_worker.providers.http.sse import EventStreamDecoder, EventTooLarge
from tests.support.event_streams import chunks

pytestmark = pytest.mark.slow


@settings(max_examples=500, deadline=None)
@given(st.lists(chunks | st.binary(), max_size=20), st.integers(8, 64))
def test_no_bytes_raise_anything_but_that_an_event_is_too_large_and_none_pile_up(
    stream: list[bytes], max_event_bytes: int
) -> None:
    decoder = EventStreamDecoder(max_event_bytes=max_event_bytes)
    for chunk in stream:
        # It is fed on after it has refused: even a caller that does not listen cannot get it to hold more.
        with contextlib.suppress(EventTooLarge):
            decoder.feed(chunk)
        assert decoder.buffered_bytes <= max_event_bytes
