"""The blocking iterators, on the real server: leaving them, in any way, frees everything."""

import gc
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import TypeAlias

import pytest

from tailrace import BrokerUnavailable, EntryId, InvalidCursor, JobState, KeepAlive, Settings, Snapshot, sync
from tailrace.events import Delta
from tailrace.protocol.keys import Keys
from tests.support.blocking_stream import BlockingStream
from tests.support.eventually import until
from tests.support.handwritten import ENDING, REQUEST, STARTED


def test_a_tail_waits_for_new_events_and_stops_at_the_ending(job: sync.Job, stream: BlockingStream) -> None:
    seen: list[str] = []
    for event in job.tail():
        seen.append(f"{event.id} {event.type}")
        if event.type == "queued":
            stream.append(("1-2", STARTED))
        if event.type == "started":
            stream.append(("1-3", Delta(text="Hello")), ("1-4", ENDING))
    assert seen == ["0-1 queued", "1-2 started", "1-3 delta", "1-4 completed"]
    assert [event.id.seq for event in job.tail(after="1-2")] == [3, 4]
    assert [event.type for event in job.tail(snapshot=True)] == ["snapshot", "completed"]


def test_a_long_past_is_read_in_order(job: sync.Job, stream: BlockingStream) -> None:
    stream.append(*((f"1-{seq}", Delta(text=str(seq))) for seq in range(2, 3_002)), ("1-3002", ENDING))
    assert [event.id.seq for event in job.tail()] == list(range(1, 3_003))


def test_a_silent_tail_gives_a_sign_of_life(job: sync.Job, stream: BlockingStream) -> None:
    with job.tail(after="0-1", keep_alive_seconds=0.02) as tail:
        assert next(tail) == KeepAlive(id=EntryId(0, 1))
        stream.append(("1-2", ENDING))
        assert [event.type for event in tail][-1] == "completed"


def test_what_is_wrong_is_told_before_the_first_event(job: sync.Job, stream: BlockingStream) -> None:
    with pytest.raises(InvalidCursor, match="ahead"):
        job.open_tail(after="9-9")
    stream.append(("1-2", ENDING))
    with job.open_tail(after="1-2") as tail:
        assert tail.at_end
        assert list(tail) == []
    with job.open_tail(snapshot=True) as opened:
        assert not opened.at_end
        assert isinstance(next(opened), Snapshot)
    assert (opened.job_id, repr(opened)) == (job.id, f"Tail({job.id!r})")


Leave: TypeAlias = Callable[[sync.Job], None]


def _break(job: sync.Job) -> None:
    for _ in job.tail():
        break


def _break_in_a_block(job: sync.Job) -> None:
    with job.tail() as tail:
        for _ in tail:
            break


def _raise(job: sync.Job) -> None:
    with suppress(ZeroDivisionError):
        for _ in job.tail():
            raise ZeroDivisionError


def _close(job: sync.Job) -> None:
    tail = job.tail()
    next(tail)
    tail.close()
    tail.close()
    assert list(tail) == []


def _never_begin(job: sync.Job) -> None:
    job.tail().close()
    job.tail()


def _drop_an_open_one(job: sync.Job) -> None:
    job.open_tail()


def _drop_in_a_circle(job: sync.Job) -> None:
    circle: list[object] = [job.open_tail(keep_alive_seconds=1)]
    circle.append(circle)
    del circle
    gc.collect()


def _close_a_generator(job: sync.Job) -> None:
    def frames() -> Generator[str, None, None]:
        for event in job.tail(keep_alive_seconds=1):
            yield event.to_json()

    generator = frames()
    next(generator)
    generator.close()


WAYS = [
    *(_break, _break_in_a_block, _raise, _close, _never_begin, _drop_an_open_one, _drop_in_a_circle),
    _close_a_generator,
]


@pytest.mark.parametrize("leave", WAYS)
def test_leaving_a_tail_in_any_way_frees_everything(
    leave: Leave, job: sync.Job, stream: BlockingStream, connections: Callable[[], int]
) -> None:
    before = connections()
    leave(job)
    until(lambda: connections() <= before)
    assert stream.listeners() == 0


def test_a_thread_that_waits_finds_the_end_when_another_closes_its_tail(job: sync.Job, stream: BlockingStream) -> None:
    tail, seen = job.tail(), list[str]()
    reading = threading.Thread(target=lambda: seen.extend(event.type for event in tail))
    reading.start()
    until(lambda: seen == ["queued"] and stream.listeners() == 1)
    tail.close()
    reading.join(20)
    assert (seen, reading.is_alive()) == (["queued"], False)


def test_a_second_thread_that_asks_at_the_same_time_is_refused_and_the_first_goes_on(
    job: sync.Job, stream: BlockingStream
) -> None:
    tail, seen = job.tail(), list[str]()
    reading = threading.Thread(target=lambda: seen.extend(event.type for event in tail))
    reading.start()
    until(lambda: seen == ["queued"] and stream.listeners() == 1)
    with pytest.raises(RuntimeError, match="Another thread waits"):
        next(tail)
    stream.append(("1-2", ENDING))
    reading.join(20)
    assert seen == ["queued", "completed"]


def test_closing_the_client_ends_a_wait_in_another_thread(
    client: sync.Tailrace, job: sync.Job, stream: BlockingStream
) -> None:
    errors: list[BrokerUnavailable] = []
    seen: list[str] = []

    def read() -> None:
        try:
            seen.extend(event.type for event in job.tail())
        except BrokerUnavailable as error:
            errors.append(error)

    reading = threading.Thread(target=read)
    reading.start()
    until(lambda: seen == ["queued"] and stream.listeners() == 1)
    client.close()
    reading.join(20)
    (error,) = errors
    assert (str(error), error.cursor) == ("The client was closed.", "0-1")


def test_a_tail_that_outlives_its_client_is_at_its_end(client: sync.Tailrace, job: sync.Job) -> None:
    tail = job.tail()
    next(tail)
    client.close()
    with pytest.raises(BrokerUnavailable, match="closed"):
        next(tail)
    tail.close()
    assert list(tail) == []


def test_requests_run_side_by_side(client: sync.Tailrace, settings: Settings) -> None:
    seen: list[tuple[int, str]] = []
    for index, event in client.parallel([REQUEST] * 3, max_concurrent=1, queue="nightly"):
        seen.append((index, event.type))
        if event.type == "queued":
            stream = BlockingStream(settings, "")
            (job_id,) = stream.redis.zrange(Keys(settings.prefix).queue("nightly"), 0, -1)
            stream.redis.zrem(Keys(settings.prefix).queue("nightly"), job_id)
            writer = BlockingStream(settings, job_id.decode())
            writer.append(("1-2", STARTED), ("1-3", ENDING))
            writer.close()
            stream.close()
    assert seen == [(index, kind) for index in range(3) for kind in ("queued", "started", "completed")]


def _leave_by_break(client: sync.Tailrace) -> None:
    for _ in client.parallel([REQUEST] * 2, queue="nightly"):
        break


def _leave_by_block(client: sync.Tailrace) -> None:
    with client.parallel([REQUEST] * 2, queue="nightly") as events:
        next(events)


def _leave_by_closing_a_generator(client: sync.Tailrace) -> None:
    def lines() -> Generator[str, None, None]:
        for _, event in client.parallel([REQUEST] * 2, queue="nightly"):
            yield event.to_json()

    generator = lines()
    next(generator)
    generator.close()


def _leave_by_closing_the_client(client: sync.Tailrace) -> None:
    events = client.parallel([REQUEST] * 2, queue="nightly")
    next(events)
    client.close()
    with pytest.raises(BrokerUnavailable, match="closed"):
        next(events)


@pytest.mark.parametrize(
    "leave", [_leave_by_break, _leave_by_block, _leave_by_closing_a_generator, _leave_by_closing_the_client]
)
def test_leaving_jobs_side_by_side_cancels_them(
    leave: Callable[[sync.Tailrace], None], client: sync.Tailrace, settings: Settings
) -> None:
    leave(client)
    with client.endings("readers") as endings:
        ended = [next(endings), next(endings)]
    assert {each.ending for each in ended} == {"cancelled"}
    assert {client.job(each.job_id).status().state for each in ended} == {JobState.CANCELLED}


def test_an_ending_is_acknowledged_when_the_next_one_is_asked_for(client: sync.Tailrace, settings: Settings) -> None:
    for job in client.enqueue_many([REQUEST] * 2):
        job.cancel()
    with client.endings("archive", redeliver_seconds=0) as endings:
        first = next(endings)
    with client.endings("archive", redeliver_seconds=0) as endings:
        again = next(endings)
        second = next(endings)
    assert first.job_id == again.job_id != second.job_id
