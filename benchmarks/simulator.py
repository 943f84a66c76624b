"""How fast the simulator is: pieces a second, CPU a piece, and how late pieces come.

    python benchmarks/simulator.py                        # 8 streams, as fast as possible
    python benchmarks/simulator.py --streams 1000 --interval-ms 20

The server is one process. Readers are raw sockets in processes of their own, which only count, so that what is
measured is the server. Rate and lateness are of the time in which all streams run: from when the last one began to
when the first one ended. A piece is late by how much later it comes than an even pace would have it, seen from that
piece of its stream that came earliest. All traffic stays on the loopback; the run ends by itself.
"""

import argparse
import asyncio
import json
import multiprocessing
import resource
import selectors
import socket
import time
from array import array
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

import uvloop

from tailrace_worker.simulator import Simulator

_CHUNKS_BESIDES_PIECES = 3
"""The opening events, the closing ones, and the empty chunk that ends the body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one reader process asks for."""

    url: str
    streams: int
    pieces: int
    interval_ms: float
    ramp_seconds: float


class Reader:
    """One stream: remembers when each chunk came."""

    def __init__(self, load: Load) -> None:
        address = urlsplit(load.url)
        self.socket = socket.create_connection((address.hostname or "", address.port or 0))
        self.arrivals = array("d")
        self._returns = 0
        self._head: bytes | None = b""
        body = json.dumps(
            {
                "model": f"demo?pieces={load.pieces}&interval_ms={load.interval_ms}",
                "messages": [{"role": "user", "content": "Hi"}],
                "stream": True,
            }
        )
        self.socket.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: simulator\r\nAuthorization: Bearer benchmark\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body.encode())
        )

    def receive(self) -> bool:
        """Takes what is there; false at the end."""
        received = self.socket.recv(1 << 18)
        if not received:
            return False
        if self._head is not None:
            head, end, rest = (self._head + received).partition(b"\r\n\r\n")
            self._head = None if end else head
            received = rest
        # Two in each chunk, for JSON holds none: a count that no border between two reads can spoil.
        self._returns += received.count(b"\r")
        while len(self.arrivals) < self._returns // 2:
            self.arrivals.append(time.monotonic())
        return True

    def pieces(self, load: Load) -> "array[float]":
        """When each piece came."""
        if len(self.arrivals) != load.pieces + _CHUNKS_BESIDES_PIECES:
            raise SystemExit(f"A stream had {len(self.arrivals)} chunks for {load.pieces} pieces.")
        return self.arrivals[1 : 1 + load.pieces]


def read(load: Load) -> "list[array[float]]":
    """The arrivals of all the pieces of some streams, which are begun evenly over the ramp."""
    selector = selectors.DefaultSelector()
    readers: list[Reader] = []
    began = time.monotonic()
    running = 0
    while running or len(readers) < load.streams:
        due = (
            int((time.monotonic() - began) / load.ramp_seconds * load.streams) + 1
            if load.ramp_seconds
            else load.streams
        )
        while len(readers) < min(due, load.streams):
            reader = Reader(load)
            readers.append(reader)
            selector.register(reader.socket, selectors.EVENT_READ, reader)
            running += 1
        for key, _ in selector.select(0.001 if len(readers) < load.streams else None):
            reader = key.data
            if not reader.receive():
                selector.unregister(reader.socket)
                reader.socket.close()
                running -= 1
    return [reader.pieces(load) for reader in readers]


def serve(pipe: Connection) -> None:
    """The server process: says where it listens, then what it has used each time it is asked, until told to end."""

    async def main() -> None:
        async with Simulator() as simulator:
            pipe.send(simulator.url)
            while await asyncio.to_thread(pipe.recv) == "usage":
                pipe.send(resource.getrusage(resource.RUSAGE_SELF))

    uvloop.run(main())


def usage(pipe: Connection) -> resource.struct_rusage:
    """What the server process has used so far."""
    pipe.send("usage")
    used: resource.struct_rusage = pipe.recv()
    return used


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=8, help="at the same time (default: %(default)s)")
    parser.add_argument("--interval-ms", type=float, default=0, help="between pieces; 0: none (default: %(default)s)")
    parser.add_argument("--pieces", type=int, help="a stream; by default what takes about 5 seconds")
    parser.add_argument("--readers", type=int, default=2, help="processes that read (default: %(default)s)")
    options = parser.parse_args()
    paced = options.interval_ms > 0
    pieces = options.pieces or (int(7_000 / options.interval_ms) if paced else 1_000_000 // options.streams)

    context = multiprocessing.get_context("spawn")
    pipe, far_end = context.Pipe()
    server = context.Process(target=serve, args=(far_end,), daemon=True)
    server.start()
    url = pipe.recv()
    with ProcessPoolExecutor(options.readers, mp_context=context) as pool:
        loads = [
            Load(
                url=url,
                streams=len(range(number, options.streams, options.readers)),
                pieces=pieces,
                interval_ms=options.interval_ms,
                ramp_seconds=1 if paced else 0,
            )
            for number in range(options.readers)
        ]
        before = usage(pipe)
        streams = [arrivals for part in pool.map(read, loads) for arrivals in part]
        after = usage(pipe)
    pipe.send("end")
    server.join(10)

    total = sum(map(len, streams))
    began, ended = max(arrivals[0] for arrivals in streams), min(arrivals[-1] for arrivals in streams)
    if began >= ended:
        raise SystemExit("The first stream ended before the last one began: ask for more pieces.")
    within = sum(began <= arrival <= ended for arrivals in streams for arrival in arrivals)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    print(f"streams               {len(streams):>10,}")
    print(f"pieces                {total:>10,}")
    print(f"pieces a second       {within / (ended - began):>10,.0f}")
    print(
        f"server CPU a piece    {(user + system) / total * 1e6:>10.1f} µs ({user / (user + system):.0%} in user space)"
    )
    print(f"server memory, most   {after.ru_maxrss / 1024:>10.0f} MiB")
    if paced:
        late = sorted(lateness_ms(streams, options.interval_ms / 1000, began, ended))
        for percent in (50, 99):
            print(f"late, p{percent}             {late[len(late) * percent // 100]:>10.2f} ms")


def lateness_ms(streams: "list[array[float]]", interval_seconds: float, began: float, ended: float) -> "array[float]":
    """How late each piece came that came in the given time."""
    late = array("d")
    for arrivals in streams:
        offsets = [
            arrival - number * interval_seconds for number, arrival in enumerate(arrivals) if began <= arrival <= ended
        ]
        earliest = min(offsets, default=0.0)
        late.extend((offset - earliest) * 1000 for offset in offsets)
    return late


if __name__ == "__main__":
    main()
