"""Server-sent events of one job."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from tailrace.cursor import EntryId
from tailrace.encoders import KEEP_ALIVE, SseEncoder, retry_line
from tailrace.events import Delta, Event
from tests.support.event_streams import events_of
from tests.support.job_streams import job_streams, unhurried


def encoded(events: list[Event]) -> list[bytes]:
    encoder = SseEncoder()
    return [encoder.encode(event) for event in events]


@unhurried
@given(job_streams())
def test_a_browser_reads_each_event_with_its_cursor_its_type_and_its_public_form(events: list[Event]) -> None:
    for event, frame in zip(events, encoded(events), strict=True):
        assert [(name.decode(), json.loads(data)) for name, data in events_of(frame)] == [
            (event.type, json.loads(json.dumps(event.to_dict())))
        ]
        assert re.findall(rb"^id: (.*)$", frame, re.MULTILINE) == [str(event.id).encode()]


@unhurried
@given(job_streams(), st.data())
def test_a_resume_after_any_event_gives_exactly_the_rest_of_the_full_replay(
    events: list[Event], data: st.DataObject
) -> None:
    full = b"".join(encoded(events))
    after = data.draw(st.sampled_from(events)).id
    rest = b"".join(encoded([event for event in events if event.id > after]))
    assert full.endswith(rest)
    seen = full.removesuffix(rest)
    assert EntryId.parse(re.findall(r"^id: (.*)$", seen.decode(), re.MULTILINE)[-1]) == after


def test_a_frame_is_as_documented() -> None:
    assert SseEncoder().encode(Delta(id=EntryId(1, 17), text="Mühle\r\n")) == (
        b'id: 1-17\nevent: delta\ndata: {"type": "delta", "id": "1-17", "text": "M\\u00fchle\\r\\n"}\n\n'
    )


def test_a_delta_of_a_verbatim_answer_has_its_frames_too() -> None:
    frame = SseEncoder().encode(Delta(id=EntryId(1, 17), text="Mill", raw=b':{"text":"Mill"}\n'))
    [(_, data)] = events_of(frame)
    assert json.loads(data) == {"type": "delta", "id": "1-17", "raw": ':{"text":"Mill"}\n', "text": "Mill"}


def test_what_is_no_event_is_none_for_a_client() -> None:
    encoder = SseEncoder()
    assert encoder.opening == retry_line(1000) == b"retry: 1000\n"
    assert events_of(encoder.opening + KEEP_ALIVE + encoder.broken_off()) == []
    assert KEEP_ALIVE.startswith(b":")
