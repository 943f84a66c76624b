"""When a piece can be read, beside when it was sent: the two ends of the measurement, each in a process of its own.

`relay` stands between the worker and the simulator, and writes the time into each piece as it passes. `reader` reads
many streams in one read that blocks, and takes the time when that returns. Both are run by `providers`, and read the
machine's monotonic clock. What lies between is more than the worker's share: two sockets, Redis, and the parsing of the
reply.
"""

import asyncio
import math
import sys
import threading
import time
from array import array
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

import uvloop
from redis import Redis

from benchmarks.figures import percentile
from benchmarks.process import answer

_WIDTH: Final = 19
PLACE: Final = "0" * _WIDTH
"""What a model is told to say, over and over: there is room for the time in ns, so that no length changes."""

_READ_BYTES: Final = 65_536
_BLOCK_MS: Final = 1_000


async def relay(simulator_url: str) -> None:
    """The process that sends."""
    simulator = urlsplit(simulator_url)

    async def connected(reader: StreamReader, writer: StreamWriter) -> None:
        answers, questions = await asyncio.open_connection(simulator.hostname, simulator.port)
        # Whichever of the two goes away, the other learns of it.
        with suppress(ConnectionError):
            await asyncio.gather(_pass_on(reader, questions, _as_it_is), _pass_on(answers, writer, _stamped))

    server = await asyncio.start_server(connected, "127.0.0.1", backlog=4_096)
    host, port = server.sockets[0].getsockname()
    await asyncio.to_thread(answer, {"url": lambda: f"http://{host}:{port}"})


async def _pass_on(reader: StreamReader, writer: StreamWriter, change: Callable[[bytes], bytes]) -> None:
    try:
        while (data := await reader.read(_READ_BYTES)) and not writer.is_closing():
            writer.write(change(data))
    finally:
        writer.close()


def _as_it_is(data: bytes) -> bytes:
    return data


def _stamped(data: bytes) -> bytes:
    return data.replace(PLACE.encode(), b"%0*d" % (_WIDTH, time.monotonic_ns()))


class Reader:
    """The process that reads."""

    def __init__(self) -> None:
        self._read_at_ns = array("q")
        self._took_ns = array("q")
        self._thread = threading.Thread()

    def read(self, redis_url: str, streams: list[str]) -> None:
        """Begins to read streams, from their beginnings."""
        self._thread = threading.Thread(target=self._read, args=(redis_url, streams), daemon=True)
        self._thread.start()

    def between(self, spans: list[tuple[int, int]]) -> dict[str, float]:
        """How long the pieces took that became readable in any of some spans of time."""
        if not self._thread.is_alive():
            raise SystemExit("The reader has ended.")
        took = [
            took_ns / 1e6
            for took_ns, read_at_ns in zip(self._took_ns, self._read_at_ns, strict=False)
            if any(from_ns <= read_at_ns < to_ns for from_ns, to_ns in spans)
        ]
        # Of a worker that is far behind, nothing may have become readable.
        return {f"p{percent}_ms": percentile(took or [math.inf], percent) for percent in (50, 99)}

    def _read(self, redis_url: str, streams: list[str]) -> None:
        redis: Any = Redis.from_url(redis_url)  # pyright: ignore[reportUnknownMemberType]
        cursors = {stream.encode(): b"0" for stream in streams}
        while True:
            reply = redis.execute_command("XREAD", "BLOCK", _BLOCK_MS, "STREAMS", *cursors.keys(), *cursors.values())
            read_at_ns = time.monotonic_ns()
            for stream, entries in reply or ():
                cursors[stream] = entries[-1][0]
                for _, fields in entries:
                    # Pieces that came while the worker was busy share an entry.
                    for sent_at_ns in fields.get(b"text", b"").split():
                        self._took_ns.append(read_at_ns - int(sent_at_ns))
                        self._read_at_ns.append(read_at_ns)


if __name__ == "__main__":
    if sys.argv[1] == "relay":
        uvloop.run(relay(sys.argv[2]))
    else:
        reader = Reader()
        answer({"read": reader.read, "between": reader.between})
