"""Ways to tail many jobs in one process, each run in a process of its own by `tails`.

`tailrace` is `job.tail()`. `a read each` holds a connection of redis-py and a blocking XREAD per tail. `one read` is a
single blocking XREAD over all streams, from which each tail has a queue. Both yield what `job.tail()` yields, decoded
by the same function, so that they differ in nothing but how they read; for errors, reconnects and cursors they do
nothing, which is in their favour. `no reads` waits and reads nothing: what it costs is the consumers' tasks and, in
Redis, the appends.
"""

import asyncio
import sys
import time
from array import array
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any, Final, TypeAlias, TypeVar

import uvloop
from redis.asyncio import Redis

from benchmarks.figures import percentile
from benchmarks.process import answer
from tailrace import Settings, Tailrace
from tailrace.events import ENDINGS, Delta, Event, Queued
from tailrace.protocol.entries import decode
from tailrace.protocol.keys import Keys

TAILRACE: Final = "tailrace"
READ_EACH: Final = "a read each"
ONE_READ: Final = "one read"
NO_READS: Final = "no reads"

_COUNT: Final = 1_000
_FOR_EVER: Final = 0
_JOIN_MS: Final = 1_000
_MAX_CONNECTIONS: Final = 2**31
_OPENING: Final = 200
"""How many tails are opened at the same time."""
_OPEN_SECONDS: Final = 120
_KEYS: Final = Keys(Settings.read().prefix)

Tails: TypeAlias = Callable[[str], AsyncIterator[Event]]
_Result = TypeVar("_Result")


@asynccontextmanager
async def tailrace(redis_url: str) -> AsyncGenerator[Tails]:
    """What is measured."""
    async with Tailrace.connect(redis_url) as client:
        yield lambda job_id: client.job(job_id).tail()


@asynccontextmanager
async def read_each(redis_url: str) -> AsyncGenerator[Tails]:
    """A blocking read, and with it a connection, for each tail."""
    async with _open_redis(redis_url) as redis:

        async def tail(job_id: str) -> AsyncGenerator[Event, None]:
            stream, cursor = _stream(job_id), b"0"
            while True:
                for _, entries in await redis.xread({stream: cursor}, count=_COUNT, block=_FOR_EVER):
                    cursor = entries[-1][0]
                    for event in _decoded(entries):
                        yield event
                        if event.type in ENDINGS:
                            return

        yield tail


@asynccontextmanager
async def one_read(redis_url: str) -> AsyncGenerator[Tails]:
    """A blocking read of all streams, which those that join wait for to return."""
    async with _open_redis(redis_url) as redis:
        cursors: dict[bytes, bytes] = {}
        queues: dict[bytes, list[asyncio.Queue[Event]]] = defaultdict(list)
        joined = asyncio.Event()

        async def tail(job_id: str) -> AsyncGenerator[Event, None]:
            stream, queue = _stream(job_id), asyncio.Queue[Event]()
            [[_, entries]] = await redis.xread({stream: b"0"})
            cursors[stream] = entries[-1][0]
            queues[stream].append(queue)
            joined.set()
            for event in _decoded(entries):
                yield event
            while True:
                event = await queue.get()
                yield event
                if event.type in ENDINGS:
                    return

        async def read() -> None:
            await joined.wait()
            while True:
                for stream, entries in await redis.xread(cursors, count=_COUNT, block=_JOIN_MS):
                    cursors[stream] = entries[-1][0]
                    for event in _decoded(entries):
                        for queue in queues[stream]:
                            queue.put_nowait(event)

        reading = asyncio.create_task(read())
        try:
            yield tail
        finally:
            reading.cancel()


@asynccontextmanager
async def no_reads(_: str) -> AsyncGenerator[Tails]:
    """As many consumers that wait."""

    async def tail(_: str) -> AsyncGenerator[Event, None]:
        yield Queued(at=0, queue="")
        await asyncio.get_running_loop().create_future()

    yield tail


WAYS: Final[dict[str, Callable[[str], AbstractAsyncContextManager[Tails]]]] = {
    TAILRACE: tailrace,
    READ_EACH: read_each,
    ONE_READ: one_read,
    NO_READS: no_reads,
}


class Reader:
    """The consumers, each a task that notes when it gets which delta."""

    def __init__(self, tails: Tails) -> None:
        self._tails = tails
        self._loop = asyncio.get_running_loop()
        self._opening = asyncio.Semaphore(_OPENING)
        self._consumers: list[asyncio.Task[None]] = []
        self._read_at_ns = array("q")
        self._took_ns = array("q")

    def open(self, job_ids: list[str]) -> None:
        """Opens so many more tails; returns when each has yielded `queued`."""
        self._run(self._open(job_ids))

    def between(self, from_ns: int, to_ns: int) -> dict[str, float]:
        """How many deltas were read in a span of time, and how long they took. Raises what has ended a tail."""
        for consumer in self._consumers:
            if consumer.done():
                consumer.result()
                raise SystemExit("A tail has ended while it was measured.")
        took_ms = [
            took_ns / 1e6
            for took_ns, read_at_ns in zip(self._took_ns, self._read_at_ns, strict=False)
            if from_ns <= read_at_ns < to_ns
        ]
        percents = (50, 99) if took_ms else ()
        return {"events": len(took_ms), **{f"p{percent}_ms": percentile(took_ms, percent) for percent in percents}}

    def read(self, job_id: str) -> float:
        """How many ms it takes to read a job that has ended."""
        return self._run(self._read(job_id))

    async def aclose(self) -> None:
        """Leaves the tails."""
        for consumer in self._consumers:
            consumer.cancel()
        await asyncio.gather(*self._consumers, return_exceptions=True)

    def _run(self, coroutine: Coroutine[None, None, _Result]) -> _Result:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _open(self, job_ids: Iterable[str]) -> None:
        async with asyncio.timeout(_OPEN_SECONDS):
            for job_id in job_ids:
                await self._opening.acquire()
                self._consumers.append(asyncio.create_task(self._consume(job_id)))
            for _ in range(_OPENING):
                await self._opening.acquire()
        for _ in range(_OPENING):
            self._opening.release()

    async def _consume(self, job_id: str) -> None:
        async for event in self._tails(job_id):
            if type(event) is Delta:
                read_at_ns = time.monotonic_ns()
                self._took_ns.append(read_at_ns - int(event.text))
                self._read_at_ns.append(read_at_ns)
            else:
                self._opening.release()

    async def _read(self, job_id: str) -> float:
        began = time.perf_counter()
        last = [event async for event in self._tails(job_id)][-1]
        assert last.type in ENDINGS
        return (time.perf_counter() - began) * 1e3


def _open_redis(url: str) -> Any:
    return Redis.from_url(url, max_connections=_MAX_CONNECTIONS)  # pyright: ignore[reportUnknownMemberType]


def _stream(job_id: str) -> bytes:
    return _KEYS.events(job_id).encode()


def _decoded(entries: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> Iterable[Event]:
    return filter(None, (decode(*entry) for entry in entries))


async def main(way: str, redis_url: str) -> None:
    """Runs the process: opens tails, and tells what they have read, until nobody is left who asks."""
    async with WAYS[way](redis_url) as tails:
        reader = Reader(tails)
        async with aclosing(reader):
            await asyncio.to_thread(answer, {"open": reader.open, "between": reader.between, "read": reader.read})


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
