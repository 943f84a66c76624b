"""What it takes to tail many jobs in one process, beside the common ways (see `tailing`) to do so.

    python -m benchmarks.tails                          # 10,000 tails at 5,000 events a second; about five minutes
    python -m benchmarks.tails --tails 1000 --events 500 --rounds 1 --seconds 2

One process reads, one appends as a publisher does (see `appending`), and Valkey is a third. The ways take turns, each
with fresh processes and jobs, in one order and then in the other; what is told is the median of the rounds. CPU is user
plus system of the reading process, over a time in which all of its tails are open and warm. Redis is the share of its
core, that of the appends included, which the line of `no reads` shows by itself. A way that falls behind shows by its
events a second. Memory is what the process takes more with all idle tails than with the first few; the consumer's own
task is in it, and is what `no reads` takes. Where the process may not open a connection for each tail, all ways are
compared with fewer tails, and then those that need no connection each with all of them.
All traffic stays on the loopback; every process ends with this one.
"""

import argparse
import asyncio
import itertools
import math
import resource
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Final

import psutil
import uvloop

from benchmarks.figures import show, show_origin
from benchmarks.process import Process, open_process
from benchmarks.stand import Stand, open_stand
from benchmarks.tailing import NO_READS, ONE_READ, READ_EACH, TAILRACE, WAYS
from tailrace.events import Completed, Delta
from tailrace.protocol.entries import encode

CONNECTIONS: Final = 4
READABLE_MS: Final = 50
REDIS_PERCENT: Final = 25
READABLE_ALONE_MS: Final = 2
TAIL_KIB: Final = 8
TIMES_READ_EACH: Final = 1 / 3
ANSWER_MS: Final = 150

_ALONE_PER_SECOND: Final = 50
"""Of one stream, as a provider's."""
_FEW: Final = 100
"""Tails that are open before memory is looked at."""
_FIRST_SEQ: Final = 2
"""Behind `queued`."""
_SPARE_FILES: Final = 500
_WARM_UP: Final = 0.2
"""Of the time of measuring, each time that something begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What each of some ways has to do."""

    title: str
    tails: int
    jobs: int
    appends_per_second: float
    ways: Sequence[str]


@dataclass(frozen=True, slots=True)
class Figures:
    """What one way took. What there was nothing to measure of is NaN."""

    p50_ms: float
    p99_ms: float
    events_per_second: float
    us_per_event: float
    """CPU."""
    redis_percent: float
    connections: float
    tail_kib: float

    @classmethod
    def median(cls, turns: Sequence["Figures"]) -> "Figures":
        """Of each figure the median."""
        return cls(*map(statistics.median, zip(*map(astuple, turns), strict=True)))


_HEADER: Final = ("", "p50 ms", "p99 ms", "events/s", "CPU µs an event", "Redis %", "connections", "KiB a tail")


async def measure_load(stand: Stand, load: Load, options: argparse.Namespace) -> Mapping[str, Figures]:
    """Lets the ways take turns, and prints what they took."""
    turns: dict[str, list[Figures]] = {way: [] for way in load.ways}
    for way in _in_turns(load.ways, options.rounds):
        print(f"{load.title}: {way} ...", file=sys.stderr, flush=True)
        turns[way].append(await measure_turn(stand, way, load, options.seconds))
    figures = {way: Figures.median(taken) for way, taken in turns.items()}
    rows = [[way, *astuple(taken)] for way, taken in figures.items()]
    show(f"{load.title}; the median of {options.rounds} rounds of {options.seconds:g} s", _HEADER, rows)
    return figures


async def measure_turn(stand: Stand, way: str, load: Load, seconds: float) -> Figures:
    """Opens the tails of a process, and looks at it while events come in."""
    server = await stand.broker.call("INFO", "server")
    redis = psutil.Process(server["process_id"])
    async with (
        stand.waiting(load.jobs) as jobs,
        open_process("benchmarks.appending", stand.redis_url) as appender,
        open_process("benchmarks.tailing", way, stand.redis_url) as reader,
    ):
        process = psutil.Process(reader.pid)
        tailed = list(itertools.islice(itertools.cycle(jobs), load.tails))
        tail_kib = await _open_tails(reader, tailed, seconds * _WARM_UP)
        await appender.ask("start", jobs, load.appends_per_second)
        await asyncio.sleep(seconds * _WARM_UP)
        from_ns, cpu_before, redis_before = time.monotonic_ns(), _cpu_seconds(process), _cpu_seconds(redis)
        await asyncio.sleep(seconds)
        to_ns, cpu_after, redis_after = time.monotonic_ns(), _cpu_seconds(process), _cpu_seconds(redis)
        connections = len(process.net_connections("tcp"))
        await appender.ask("stop")
        read: dict[str, Any] = await reader.ask("between", from_ns, to_ns)
    took_seconds, events = (to_ns - from_ns) / 1e9, read["events"]
    return Figures(
        p50_ms=read.get("p50_ms", math.nan),
        p99_ms=read.get("p99_ms", math.nan),
        events_per_second=events / took_seconds,
        us_per_event=(cpu_after - cpu_before) / events * 1e6 if events else math.nan,
        redis_percent=(redis_after - redis_before) / took_seconds * 100,
        connections=connections,
        tail_kib=tail_kib,
    )


async def measure_answer(stand: Stand, options: argparse.Namespace) -> Mapping[str, float]:
    """How many ms it takes to read an answer that is there."""
    took_ms: dict[str, list[float]] = {TAILRACE: [], READ_EACH: []}
    async with stand.waiting(1) as [job]:
        stream = stand.keys.events(job)
        delta, ending = encode(Delta(text="word ")), encode(Completed(at=0, finish_reason="stop"))
        entries = enumerate([*[delta] * options.deltas, ending], _FIRST_SEQ)
        await stand.broker.pipeline(*(("XADD", stream, f"1-{seq}", *fields) for seq, fields in entries))
        for way in _in_turns(list(took_ms), options.rounds):
            async with open_process("benchmarks.tailing", way, stand.redis_url) as reader:
                took_ms[way].append(await reader.ask("read", job))
    return {way: statistics.median(took) for way, took in took_ms.items()}


async def run(options: argparse.Namespace) -> None:
    """Measures and prints."""
    reading = (TAILRACE, READ_EACH, ONE_READ)
    alone = Load(title="one tail", tails=1, jobs=1, appends_per_second=_ALONE_PER_SECOND, ways=reading)
    shared = Load(
        title=f"{options.shared:,} tails of one job, {options.events:,} events a second in all of them together",
        tails=options.shared,
        jobs=1,
        appends_per_second=options.events / options.shared,
        ways=reading,
    )
    async with open_stand() as stand:
        most = min(options.tails, await _allow_connections(stand))
        compared = crowd = await measure_load(stand, _crowd(options, most, tuple(WAYS)), options)
        if most < options.tails:
            crowd = await measure_load(stand, _crowd(options, options.tails, (TAILRACE, ONE_READ, NO_READS)), options)
        by_itself = await measure_load(stand, alone, options)
        await measure_load(stand, shared, options)
        answer_ms = await measure_answer(stand, options)
    times = compared[TAILRACE].us_per_event / compared[READ_EACH].us_per_event
    ours, waiting = crowd[TAILRACE], crowd[NO_READS]
    show(
        "against the targets",
        ["", "measured", "target", ""],
        [
            _row(f"connections of {options.tails:,} tails", ours.connections, CONNECTIONS),
            _row("append to reader, ms, p99", ours.p99_ms, READABLE_MS),
            _row("... of one tail, p50", by_itself[TAILRACE].p50_ms, READABLE_ALONE_MS),
            _row("Redis, %", ours.redis_percent, REDIS_PERCENT),
            _row(f"times the CPU of a read each, {most:,} tails", times, TIMES_READ_EACH),
            _row("KiB an idle tail", ours.tail_kib, TAIL_KIB),
            _row("... without the consumer's task", ours.tail_kib - waiting.tail_kib),
            _row(f"an answer of {options.deltas:,} deltas, ms", answer_ms[TAILRACE], ANSWER_MS),
            _row("... by a read each", answer_ms[READ_EACH]),
        ],
    )
    show_origin()


async def _open_tails(reader: Process, jobs: Sequence[str], settle_seconds: float) -> float:
    """Returns how many KiB of memory each one takes that comes behind the first few."""
    process, few = psutil.Process(reader.pid), min(_FEW, len(jobs) // 2)
    await reader.ask("open", jobs[:few])
    before = process.memory_info().rss
    await reader.ask("open", jobs[few:])
    await asyncio.sleep(settle_seconds)
    taken: int = process.memory_info().rss - before
    return taken / 1024 / (len(jobs) - few) if few else math.nan


async def _allow_connections(stand: Stand) -> int:
    """How many connections Redis takes, and the reading process may open."""
    open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    await stand.broker.call("CONFIG", "SET", "maxclients", open_files - _SPARE_FILES // 2)
    return open_files - _SPARE_FILES


def _crowd(options: argparse.Namespace, tails: int, ways: Sequence[str]) -> Load:
    """So many tails, each of a job of its own."""
    return Load(
        title=f"{tails:,} tails, {options.events:,} events a second over them",
        tails=tails,
        jobs=tails,
        appends_per_second=options.events,
        ways=ways,
    )


def _in_turns(ways: Sequence[str], rounds: int) -> Sequence[str]:
    """Each way once a round: in this order, then in the other, so that none always comes behind the same."""
    return [way for number in range(rounds) for way in (ways if number % 2 == 0 else reversed(ways))]


def _cpu_seconds(process: psutil.Process) -> float:
    times: Any = process.cpu_times()
    return float(times.user + times.system)


def _row(what: str, measured: float, target: float | None = None) -> list[object]:
    if target is None:
        return [what, f"{measured:.2f}", "", ""]
    return [what, f"{measured:.2f}", f"<= {target:.3g}", "met" if measured <= target else "not met"]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tails", type=int, default=10_000, help="of as many jobs (default: %(default)s)")
    parser.add_argument("--events", type=int, default=5_000, help="a second that are read (default: %(default)s)")
    parser.add_argument("--shared", type=int, default=1_000, help="tails of one job (default: %(default)s)")
    parser.add_argument("--deltas", type=int, default=10_000, help="of the answer that is there (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of each way (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5, help="of measuring, each time (default: %(default)s)")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
