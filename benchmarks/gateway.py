"""What it takes to serve many streams from one process, beside the usual way (see `http_serving`) to do so.

    python -m benchmarks.gateway                        # 2,000 streams at 5,000 events a second; about three minutes
    python -m benchmarks.gateway --streams 200 --events 500 --rounds 1 --seconds 2

One process serves, one reads all streams off bare sockets (see `http_reading`), one appends as a publisher does (see
`appending`), and Valkey is a fourth. The ways take turns, each with fresh processes and jobs, in one order and then in
the other; what is told is the median of the rounds. CPU is user plus system of the serving process, over a time in
which all of its streams are open and warm, for each event that the clients got in it. Memory is what the process takes
more with all streams than with the first few. In the end clients that read one byte a second come to the streams.
All traffic stays on the loopback; every process ends with this one.
"""

import argparse
import asyncio
import math
import resource
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import psutil
import uvloop

from benchmarks.figures import show, show_origin
from benchmarks.http_serving import GATEWAY, USUAL
from benchmarks.process import Process, open_process
from benchmarks.stand import Stand, open_stand

TIMES_USUAL: Final = 1 / 3
READABLE_MS: Final = 100
STREAM_KIB: Final = 40
CONNECTIONS: Final = 4

_FEW: Final = 100
"""Streams that are open before memory is looked at."""
_SPARE_FILES: Final = 500
_WARM_UP: Final = 0.2
"""Of the time of measuring."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one way took. What there was nothing to measure of is NaN."""

    p50_ms: float
    p99_ms: float
    events_per_second: float
    us_per_event: float
    """CPU."""
    connections: float
    """To Redis."""
    stream_kib: float
    slow_p99_ms: float
    """The same as `p99_ms`, while other clients read one byte a second."""
    slow_mib: float
    """How much the memory of the process has grown by these clients."""

    @classmethod
    def median(cls, turns: Sequence["Figures"]) -> "Figures":
        """Of each figure the median."""
        return cls(*map(statistics.median, zip(*map(astuple, turns), strict=True)))


_HEADER: Final = (
    *("", "p50 ms", "p99 ms", "events/s", "CPU µs an event", "connections", "KiB a stream"),
    *("p99 beside slow clients", "MiB of these"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What the clients and the server did in a span of time."""

    read: dict[str, Any]
    seconds: float
    cpu_seconds: float


async def measure(stand: Stand, options: argparse.Namespace) -> Mapping[str, Figures]:
    """Lets the ways take turns."""
    turns: dict[str, list[Figures]] = {GATEWAY: [], USUAL: []}
    for number in range(options.rounds):
        for way in turns if number % 2 == 0 else reversed(turns):
            print(f"{options.streams:,} streams: {way} ...", file=sys.stderr, flush=True)
            turns[way].append(await measure_turn(stand, way, options))
    return {way: Figures.median(taken) for way, taken in turns.items()}


async def measure_turn(stand: Stand, way: str, options: argparse.Namespace) -> Figures:
    """Opens the streams of a process, and looks at it while events come in."""
    async with (
        stand.waiting(options.streams) as jobs,
        open_process("benchmarks.appending", stand.redis_url) as appender,
        open_process("benchmarks.http_serving", way, stand.redis_url) as server,
    ):
        process = psutil.Process(server.pid)
        port: int = await server.ask("port")
        async with open_process("benchmarks.http_reading", "127.0.0.1", str(port)) as clients:
            # A status is held back until an attempt says something.
            await appender.ask("start", jobs, options.events)
            stream_kib = await _open_streams(clients, process, list(map(_path, jobs)))
            await asyncio.sleep(options.seconds * _WARM_UP)
            look = await _look(clients, process, options.seconds)
            connections = _connections(process, stand.redis_url)
            before = process.memory_info().rss
            for job_id in jobs[: options.slow]:
                await clients.ask("open_slow", _path(job_id))
            await asyncio.sleep(options.seconds * _WARM_UP)
            slow = await _look(clients, process, options.seconds)
            slow_mib = (process.memory_info().rss - before) / 2**20
            await appender.ask("stop")
    events = look.read["events"]
    return Figures(
        p50_ms=look.read.get("p50_ms", math.nan),
        p99_ms=look.read.get("p99_ms", math.nan),
        events_per_second=events / look.seconds,
        us_per_event=look.cpu_seconds / events * 1e6 if events else math.nan,
        connections=connections,
        stream_kib=stream_kib,
        slow_p99_ms=slow.read.get("p99_ms", math.nan),
        slow_mib=slow_mib,
    )


async def run(options: argparse.Namespace) -> None:
    """Measures and prints."""
    async with open_stand() as stand:
        open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # The usual way takes two for each stream.
        options.streams = min(options.streams, (open_files - _SPARE_FILES) // 2)
        await stand.broker.call("CONFIG", "SET", "maxclients", open_files - _SPARE_FILES // 2)
        figures = await measure(stand, options)
    title = (
        f"{options.streams:,} streams, {options.events:,} events a second over them; the median of {options.rounds} "
        f"rounds of {options.seconds:g} s"
    )
    show(title, _HEADER, [[way, *astuple(taken)] for way, taken in figures.items()])
    ours, usual = figures[GATEWAY], figures[USUAL]
    show(
        "against the targets",
        ["", "measured", "target", ""],
        [
            _row("times the CPU of the usual way, an event", ours.us_per_event / usual.us_per_event, TIMES_USUAL),
            _row("append to socket, ms, p99", ours.p99_ms, READABLE_MS),
            _row(f"... beside {options.slow} clients at a byte a second", ours.slow_p99_ms, READABLE_MS),
            _row("KiB a stream", ours.stream_kib, STREAM_KIB),
            _row("connections to Redis", ours.connections, CONNECTIONS),
        ],
    )
    show_origin()


async def _open_streams(clients: Process, process: psutil.Process, paths: Sequence[str]) -> float:
    """Returns how many KiB of memory each one takes that comes behind the first few."""
    few = min(_FEW, len(paths) // 2)
    await clients.ask("open", paths[:few])
    before = process.memory_info().rss
    await clients.ask("open", paths[few:])
    return (process.memory_info().rss - before) / 1024 / (len(paths) - few) if few else math.nan


async def _look(clients: Process, process: psutil.Process, seconds: float) -> _Look:
    from_ns, cpu_before = time.monotonic_ns(), _cpu_seconds(process)
    await asyncio.sleep(seconds)
    to_ns, cpu_after = time.monotonic_ns(), _cpu_seconds(process)
    return _Look(
        read=await clients.ask("between", from_ns, to_ns),
        seconds=(to_ns - from_ns) / 1e9,
        cpu_seconds=cpu_after - cpu_before,
    )


def _connections(process: psutil.Process, redis_url: str) -> int:
    port = urlsplit(redis_url).port
    return sum(bool(each.raddr) and each.raddr.port == port for each in process.net_connections("tcp"))


def _path(job_id: str) -> str:
    return f"/v1/jobs/{job_id}/events"


def _cpu_seconds(process: psutil.Process) -> float:
    times: Any = process.cpu_times()
    return float(times.user + times.system)


def _row(what: str, measured: float, target: float) -> list[object]:
    return [what, f"{measured:.2f}", f"<= {target:.3g}", "met" if measured <= target else "not met"]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=2_000, help="each of a job of its own (default: %(default)s)")
    parser.add_argument("--events", type=int, default=5_000, help="a second over all streams (default: %(default)s)")
    parser.add_argument("--slow", type=int, default=50, help="clients at a byte a second (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of each way (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=10, help="of measuring, each time (default: %(default)s)")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
