"""What a piece of a provider's stream costs the worker, from claim to published, and how soon it can be read.

    python -m benchmarks.providers                               # openai; 100 and 400 streams; about four minutes
    python -m benchmarks.providers --provider anthropic --streams 100
    python -m benchmarks.providers --profile PATH --seconds 20   # no comparison: where the worker's time goes

Every stream brings 50 pieces a second from the simulator. CPU is user plus system of one process, over a time in which
all of its streams run. Beside the worker stand two loops in processes of their own (see `loops`): `bare` counts the
events of the SDK's raw stream, which is what receiving the bytes costs; `common` is the SDK's typed loop with an XADD
and a GET a piece. The three take turns, and what is told of each is its turn of the median CPU. A process that falls
behind shows by its pieces a second: its CPU is then per piece of what it managed, and the less the more it takes in at
a time. Memory is what a worker with all of the streams takes more than it took with the first few.

`sent to readable` is from the time that is written into a piece on its way from the simulator to the return of a read
that blocks (see `readable`): an upper bound of what the worker itself takes. In the second after a burst, one a round,
jobs that were enqueued all at once call their provider, which is silent meanwhile.
All traffic stays on the loopback; every process ends with this one.
"""

import argparse
import asyncio
import math
import os
import pstats
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

import uvloop

from benchmarks.contenders import PIECES_PER_SECOND, Contender, Cost, OfLoop, OfTailrace, look, rss_bytes
from benchmarks.figures import show, show_origin
from benchmarks.process import open_process
from benchmarks.readable import PLACE
from benchmarks.sdks import point_sdks_at
from benchmarks.stand import Stand, open_stand
from tailrace.api_kinds import API_KINDS
from tailrace_worker.processes.child import ChildProcess

TIMES_BARE: Final = 1.35
TIMES_COMMON: Final = 0.2
READABLE_MS: Final = 25
READABLE_AFTER_BURST_MS: Final = 50
STREAM_KIB: Final = 150

_CONTENDERS: Final = ("bare", "tailrace", "common")
_WARM_UP: Final = 8
_SPARE: Final = 100
_SETTLE_SECONDS: Final = 0.5
_AFTER_BURST_SECONDS: Final = 1
_BURST_MODEL: Final = f"demo?pieces=1&first_token_ms={_AFTER_BURST_SECONDS * 1000}"
_CALM_SECONDS: Final = 1
"""Before the next burst: the jobs of the last one end."""
_PROFILE_LINES: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one contender took, once: for a piece, and in memory for a stream."""

    cost: Cost
    stream_kib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """So many streams, with each contender's turn of the median cost."""

    streams: int
    turns: Mapping[str, Turn]

    def times(self, other: str) -> float:
        """How many times the other's CPU a piece tailrace takes."""
        theirs = self.turns[other].cost.us_per_piece
        return self.turns["tailrace"].cost.us_per_piece / theirs if theirs else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Readability:
    """How soon pieces can be read, in ms from their sending, and what the worker takes for it."""

    p50_ms: float
    p99_ms: float
    after_burst_p99_ms: float
    cost: Cost


@asynccontextmanager
async def open_contender(
    name: str, stand: Stand, options: argparse.Namespace, streams: int
) -> AsyncGenerator[Contender]:
    """A fresh process: one that falls behind takes longer to come to rest than to be made anew."""
    if name == "tailrace":
        async with stand.worker(max_jobs=streams, providers=[options.provider]) as worker:
            yield OfTailrace(stand, options.provider, worker.pid)
        # What it has handed back is not for the next one.
        await stand.broker.call("FLUSHALL")
    else:
        async with open_process("benchmarks.loops", name, options.provider, stand.redis_url) as process:
            yield OfLoop(process)


async def measure_turn(contender: Contender, streams: int, seconds: float) -> Turn:
    """Measures a process with so many streams; for memory it is compared with a few of them."""
    warm_up = min(_WARM_UP, streams - 1)
    await contender.start(warm_up)
    rss_before = rss_bytes(contender)
    await contender.start(streams - warm_up)
    await asyncio.sleep(_SETTLE_SECONDS)
    cost = await look(contender, seconds)
    stream_bytes = (rss_bytes(contender) - rss_before) / (streams - warm_up)
    return Turn(cost=cost, stream_kib=stream_bytes / 1024)


async def measure_round(
    names: Sequence[str], stand: Stand, options: argparse.Namespace, streams: int
) -> Mapping[str, Turn]:
    """The turn of each contender. They get ready together, which takes seconds; each ends before the next begins."""
    if not names:
        return {}
    name, *others = names
    async with open_contender(name, stand, options, streams) as contender:
        turns = await measure_round(others, stand, options, streams)
        _tell(f"{streams} streams: {name}")
        return {name: await measure_turn(contender, streams, options.seconds), **turns}


async def measure_level(stand: Stand, options: argparse.Namespace, streams: int) -> Level:
    """Lets each contender run so many streams, round by round."""
    point_sdks_at(stand.simulator_url)
    rounds = [await measure_round(_CONTENDERS, stand, options, streams) for _ in range(options.rounds)]
    return Level(streams=streams, turns={name: _median([turns[name] for turns in rounds]) for name in _CONTENDERS})


async def measure_readability(stand: Stand, options: argparse.Namespace) -> Readability:
    """Reads what a worker publishes: with some streams, and when it starts many jobs beside them."""
    _tell(f"{options.readable_streams} streams, read")
    async with (
        open_process("benchmarks.readable", "relay", stand.simulator_url) as relay,
        open_process("benchmarks.readable", "reader") as reader,
    ):
        relayed = replace(stand, simulator_url=await relay.ask("url"))
        point_sdks_at(relayed.simulator_url)
        async with relayed.worker(
            max_jobs=options.readable_streams + options.burst + _SPARE, providers=[options.provider]
        ) as worker:
            tailrace = OfTailrace(stand, options.provider, worker.pid, options=f"&text=+{PLACE}")
            await tailrace.start(options.readable_streams)
            await reader.ask("read", stand.redis_url, tailrace.streams)
            await asyncio.sleep(_SETTLE_SECONDS)
            began_ns = time.monotonic_ns()
            cost = await look(tailrace, options.seconds)
            calm = await reader.ask("between", [(began_ns, began_ns + round(options.seconds * 1e9))])
            spans: list[tuple[int, int]] = []
            for _ in range(options.rounds):
                began_ns = time.monotonic_ns()
                await asyncio.gather(*(tailrace.enqueue(_BURST_MODEL) for _ in range(options.burst)))
                await asyncio.sleep(_AFTER_BURST_SECONDS + _CALM_SECONDS)
                spans.append((began_ns, began_ns + _AFTER_BURST_SECONDS * 1_000_000_000))
            burst = await reader.ask("between", spans)
    return Readability(p50_ms=calm["p50_ms"], p99_ms=calm["p99_ms"], after_burst_p99_ms=burst["p99_ms"], cost=cost)


async def run(options: argparse.Namespace) -> None:
    """Measures and prints."""
    async with open_stand() as stand:
        levels = [await measure_level(stand, options, streams) for streams in options.streams]
        readability = await measure_readability(stand, options)
    costs = [(f"{at.streams} {name}", at.streams, each.cost) for at in levels for name, each in at.turns.items()]
    costs.append((f"{options.readable_streams} tailrace, read", options.readable_streams, readability.cost))
    show(
        f"{options.provider}: CPU a piece; the median of {options.rounds} rounds of {options.seconds:g} s",
        ["streams", "µs", "cores", "pieces/s", "of"],
        [
            [name, each.us_per_piece, f"{each.cores:.2f}", each.pieces_per_second, streams * PIECES_PER_SECOND]
            for name, streams, each in costs
        ],
    )
    widest = max(levels, key=lambda level: level.streams)
    readable = f"{options.readable_streams} streams: sent to readable"
    show(
        "against the targets",
        ["", "measured", "target", ""],
        [
            *(_row(f"{each.streams} streams: times bare", each.times("bare"), TIMES_BARE) for each in levels),
            *(_row(f"{each.streams} streams: times common", each.times("common"), TIMES_COMMON) for each in levels),
            _row(f"{widest.streams} streams: KiB a stream", widest.turns["tailrace"].stream_kib, STREAM_KIB),
            [f"{readable}, ms, p50", f"{readability.p50_ms:.1f}", "", ""],
            _row(f"{readable}, ms, p99", readability.p99_ms, READABLE_MS),
            _row(f"... while {options.burst} jobs start", readability.after_burst_p99_ms, READABLE_AFTER_BURST_MS),
        ],
    )
    show_origin()


async def profile(options: argparse.Namespace) -> None:
    """Runs the worker under cProfile, and prints what took the most time in it, its start included."""
    async with open_stand() as stand:
        point_sdks_at(stand.simulator_url)
        streams = options.streams[0]
        env = {**os.environ, "TAILRACE_REDIS_URL": stand.redis_url, "TAILRACE_GRACE_SECONDS": "0"}
        command = (sys.executable, "-m", "cProfile", "-o", options.profile, "-m", "tailrace.cli", "worker")
        with ChildProcess([*command, f"--max-jobs={streams}"], env=env, output=subprocess.DEVNULL) as worker:
            await OfTailrace(stand, options.provider, worker.pid).start(streams)
            await asyncio.sleep(options.seconds)
            worker.terminate()
            await worker.ended()
    pstats.Stats(options.profile).sort_stats("tottime").print_stats(_PROFILE_LINES)


def _median(turns: Sequence[Turn]) -> Turn:
    return sorted(turns, key=lambda turn: turn.cost.us_per_piece)[(len(turns) - 1) // 2]


def _row(what: str, measured: float, target: float) -> list[object]:
    return [what, f"{measured:.2f}", f"<= {target}", "met" if measured <= target else "not met"]


def _tell(what: str) -> None:
    print(f"{what} ...", file=sys.stderr, flush=True)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--provider", choices=API_KINDS, default="openai", help="(default: %(default)s)")
    parser.add_argument("--streams", type=int, nargs="+", default=[100, 400], help="for CPU (default: 100 400)")
    parser.add_argument("--rounds", type=int, default=3, help="of each contender (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=3, help="of measuring, each time (default: %(default)s)")
    parser.add_argument("--readable-streams", type=int, default=200, help="that are read (default: %(default)s)")
    parser.add_argument("--burst", type=int, default=100, help="jobs at once beside them (default: %(default)s)")
    parser.add_argument("--profile", metavar="PATH", help="profile a worker with the first of --streams")
    options = parser.parse_args()
    uvloop.run(profile(options) if options.profile else run(options))


if __name__ == "__main__":
    main()
