"""Appends to many streams as a worker's publisher does, in a process of its own that is run by `tails`.

What is due is sent every few milliseconds: one transaction of all appends, and a ring for each job that they touch. The
text of a delta is the machine's monotonic time in ns, taken as its batch is formed.
"""

import asyncio
import itertools
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import Final

import uvloop

from benchmarks.process import answer
from tailrace import Settings
from tailrace.broker.client import open_redis
from tailrace.broker.wire import Wire, packed
from tailrace.cursor import EntryId
from tailrace.protocol.keys import Keys
from tailrace_worker.settings import WorkerSettings

_ATTEMPT: Final = 1
_QUEUED_SEQ: Final = 1


class Stream:
    """A job's stream, which holds nothing but `queued`."""

    def __init__(self, keys: Keys, job_id: str) -> None:
        self._stream = keys.events(job_id)
        self._seq = _QUEUED_SEQ
        self.ring = packed("PUBLISH", keys.bell(job_id), b"")

    def append(self, text: str) -> bytes:
        """The command that appends the next delta."""
        self._seq += 1
        entry_id = str(EntryId(_ATTEMPT, self._seq))
        return packed("XADD", self._stream, "NOMKSTREAM", entry_id, "type", "delta", "text", text)


class Appender:
    """Appends to some streams in turn."""

    def __init__(self, wire: Wire, keys: Keys, batch_seconds: float) -> None:
        self._wire = wire
        self._keys = keys
        self._batch_seconds = batch_seconds
        self._loop = asyncio.get_running_loop()
        self._appending: Future[None] | None = None

    def start(self, job_ids: list[str], per_second: float) -> None:
        """Begins to append to the streams of fresh jobs, so much a second to all of them together."""
        streams = [Stream(self._keys, job_id) for job_id in job_ids]
        self._appending = asyncio.run_coroutine_threadsafe(self._run(itertools.cycle(streams), per_second), self._loop)

    def stop(self) -> None:
        """Ends that. Raises what has ended it before."""
        if self._appending is not None and not self._appending.cancel():
            self._appending.result()

    async def _run(self, streams: Iterator[Stream], per_second: float) -> None:
        began, appended = self._loop.time(), 0
        while True:
            next_at = self._loop.time() + self._batch_seconds
            due = int((self._loop.time() - began) * per_second)
            if due > appended:
                await self._send(list(itertools.islice(streams, due - appended)))
                appended = due
            await asyncio.sleep(next_at - self._loop.time())

    async def _send(self, streams: Iterable[Stream]) -> None:
        appends = [stream.append(str(time.monotonic_ns())) for stream in streams]
        rings = dict.fromkeys(stream.ring for stream in streams)
        payload = b"".join((packed("MULTI"), *appends, *rings, packed("EXEC")))
        *_, executed = await self._wire.exchange(payload, len(appends) + len(rings) + 2)
        for refused in (reply for reply in executed if not isinstance(reply, (bytes, int))):
            raise SystemExit(f"Redis has refused an append: {refused}")


async def main(redis_url: str) -> None:
    """Runs the process, until nobody is left who asks."""
    redis = open_redis(redis_url)
    async with redis, Wire(redis) as wire:
        await wire.connect()
        keys = Keys(Settings.read().prefix)
        appender = Appender(wire, keys, WorkerSettings.read().batch_ms / 1000)
        await asyncio.to_thread(answer, {"start": appender.start, "stop": appender.stop})


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
