"""Server-sent events of several jobs in one stream."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace import InvalidCursor, InvalidRequest
from tailrace.cursor import BEGINNING, EntryId
from tailrace.encoders import MAX_JOBS, JobsSseEncoder, parse_jobs_cursor
from tailrace.events import Delta, Event
from tests.support.event_streams import events_of
from tests.support.job_streams import job_streams, unhurried

_ids = st.text("abcdefXYZ019_-", min_size=16, max_size=18)
_jobs = st.dictionaries(_ids, job_streams(), min_size=1, max_size=3)


@st.composite
def interleaved(draw: st.DrawFn) -> list[tuple[str, Event]]:
    """The events of several jobs, in an order in which they may arrive."""
    waiting = {job_id: list(reversed(events)) for job_id, events in draw(_jobs).items()}
    arrived: list[tuple[str, Event]] = []
    while waiting:
        job_id = draw(st.sampled_from(sorted(waiting)))
        arrived.append((job_id, waiting[job_id].pop()))
        if not waiting[job_id]:
            del waiting[job_id]
    return arrived


@unhurried
@given(interleaved(), st.data())
@pytest.mark.slow
def test_a_resume_after_any_frame_gives_exactly_the_events_that_were_missed_of_each_job(
    arrived: list[tuple[str, Event]], data: st.DataObject
) -> None:
    jobs = {job_id for job_id, _ in arrived}
    encoder = JobsSseEncoder(parse_jobs_cursor(None, jobs))
    full = [encoder.encode(job_id, event) for job_id, event in arrived]
    seen = data.draw(st.integers(1, len(full)))

    (last_id,) = re.findall(r"^id: (.*)$", full[seen - 1].decode(), re.MULTILINE)
    cursors = parse_jobs_cursor(last_id, data.draw(st.permutations(sorted(jobs))))

    missed = [(job_id, event) for job_id, event in arrived if event.id > cursors[job_id]]
    assert missed == arrived[seen:]
    resumed = JobsSseEncoder(cursors)
    assert [resumed.encode(job_id, event) for job_id, event in missed] == full[seen:]


@unhurried
@given(interleaved())
@pytest.mark.slow
def test_each_frame_names_its_job_beside_the_public_form_of_the_event(arrived: list[tuple[str, Event]]) -> None:
    encoder = JobsSseEncoder(dict.fromkeys({job_id for job_id, _ in arrived}, BEGINNING))
    for job_id, event in arrived:
        frame = encoder.encode(job_id, event)
        ((name, data),) = events_of(frame)
        assert (name.decode(), json.loads(data)) == (event.type, {"job": job_id, **json.loads(event.to_json())})


def test_the_largest_cursor_fits_into_a_header() -> None:
    jobs = {f"{number:064}": EntryId(10**19 - 1, 10**19 - 1) for number in range(MAX_JOBS)}
    frame = JobsSseEncoder(jobs).encode(min(jobs), Delta(id=EntryId(10**19 - 1, 10**19 - 1), text="x"))
    last_id = frame.partition(b"\n")[0].removeprefix(b"id: ")
    assert len(last_id) < 2_100
    assert parse_jobs_cursor(last_id.decode(), jobs) == jobs


@pytest.mark.parametrize(
    "text", ["1-17", "1-17,2-3", ":1-17,2-3", "00000000:1-17,2-3", "nonsense", ":", ",", "a" * 100_000]
)
def test_a_cursor_of_other_jobs_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor):
        parse_jobs_cursor(text, ["a" * 16, "b" * 16])


def test_a_cursor_with_a_part_that_is_none_is_refused() -> None:
    jobs: dict[str, EntryId] = dict.fromkeys(("a" * 16, "b" * 16), BEGINNING)
    (last_id, *_) = JobsSseEncoder(jobs).encode("a" * 16, Delta(id=EntryId(1, 3), text="")).decode().splitlines()
    good = last_id.removeprefix("id: ")
    assert parse_jobs_cursor(good, jobs) == {"a" * 16: EntryId(1, 3), "b" * 16: BEGINNING}
    for bad in (f"{good},0-0", good.replace("1-3", "1_3"), good.replace("1-3", ""), good.rpartition(",")[0]):
        with pytest.raises(InvalidCursor):
            parse_jobs_cursor(bad, jobs)


@pytest.mark.parametrize("count", [0, MAX_JOBS + 1])
def test_a_stream_of_no_jobs_or_of_too_many_is_refused(count: int) -> None:
    jobs = dict.fromkeys((f"{number:016}" for number in range(count)), BEGINNING)
    with pytest.raises(InvalidRequest, match=f"1 to {MAX_JOBS} jobs, not {count}"):
        parse_jobs_cursor(None, jobs)
    with pytest.raises(InvalidRequest):
        JobsSseEncoder(jobs)
