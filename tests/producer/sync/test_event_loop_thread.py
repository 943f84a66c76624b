"""The loop in a thread of its own: interrupts, its end, and calls that would wait for themselves."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from types import FrameType

import pytest

from tailrace import sync
from tailrace.events import Delta
from tailrace.sync.event_loop_thread import EventLoopThread
from tests.support.blocking_stream import BlockingStream
from tests.support.eventually import until
from tests.support.handwritten import ENDING, REQUEST


class Interrupted(BaseException):
    """What the handler of a signal raises in the main thread: as Ctrl-C, or a time limit of Celery."""


@pytest.fixture
def interrupt_when() -> Iterator[Callable[[Callable[[], bool]], None]]:
    """Interrupts the main thread as soon as a condition holds."""

    def handle(number: int, frame: FrameType | None) -> None:
        raise Interrupted

    def wait(condition: Callable[[], bool]) -> None:
        until(condition)
        os.kill(os.getpid(), signal.SIGUSR1)

    threads: list[threading.Thread] = []

    def start(condition: Callable[[], bool]) -> None:
        threads.append(threading.Thread(target=wait, args=(condition,)))
        threads[-1].start()

    before = signal.signal(signal.SIGUSR1, handle)
    yield start
    for thread in threads:
        thread.join()
    signal.signal(signal.SIGUSR1, before)


async def _nothing() -> None:
    pass


def test_an_interrupted_call_cancels_what_it_waits_for_and_waits_for_its_end(
    interrupt_when: Callable[[Callable[[], bool]], None],
) -> None:
    begun, ended = threading.Event(), threading.Event()

    async def wait() -> None:
        begun.set()
        try:
            await asyncio.sleep(3_600)
        finally:
            await asyncio.sleep(0.01)
            ended.set()

    thread = EventLoopThread(_nothing)
    interrupt_when(begun.is_set)
    with pytest.raises(Interrupted):
        thread.call(wait)
    assert ended.is_set()
    thread.stop()
    thread.join()


def test_an_interrupted_tail_may_be_asked_again_and_nothing_is_lost(
    interrupt_when: Callable[[Callable[[], bool]], None], job: sync.Job, stream: BlockingStream
) -> None:
    with job.tail() as tail:
        assert next(tail).type == "queued"
        with pytest.raises(Interrupted):  # noqa: PT012  # The signal may come before the call.
            interrupt_when(lambda: stream.listeners() == 1)
            next(tail)
        stream.append(("1-2", Delta(text="Hello")), ("1-3", ENDING))
        assert [event.type for event in tail] == ["delta", "completed"]


def test_interrupted_jobs_side_by_side_are_cancelled(
    interrupt_when: Callable[[Callable[[], bool]], None], client: sync.Tailrace
) -> None:
    with pytest.raises(Interrupted), client.parallel([REQUEST] * 2, queue="nightly") as events:  # noqa: PT012
        interrupt_when(lambda: sum(queue.due for queue in client.fleet().queues) == 2)
        for _ in events:
            pass
    assert sum(queue.due for queue in client.fleet().queues) == 0


def test_a_call_in_the_thread_of_the_loop_is_refused() -> None:
    thread = EventLoopThread(_nothing)

    async def call() -> None:
        thread.call(_nothing)

    with pytest.raises(RuntimeError, match="would wait for itself"):
        thread.call(call)
    thread.stop()
    thread.join()


def test_the_end_of_the_thread_ends_the_calls_and_then_what_they_use() -> None:
    order: list[str] = []
    begun = threading.Event()

    async def wait() -> None:
        begun.set()
        try:
            await asyncio.sleep(3_600)
        finally:
            order.append("call")

    async def close() -> None:
        order.append("end")

    def call() -> None:
        with pytest.raises(CancelledError):
            thread.call(wait)
        order.append("told")

    thread = EventLoopThread(close)
    calling = threading.Thread(target=call)
    calling.start()
    begun.wait()
    thread.stop()
    thread.join()
    calling.join()
    assert sorted(order) == ["call", "end", "told"]
    assert order.index("call") < order.index("end")
    thread.stop()
    with pytest.raises(CancelledError):
        thread.call(_nothing)
