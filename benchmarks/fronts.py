"""How much longer a call by an official SDK takes through the gateway than directly, compared with LiteLLM's proxy.

    python -m benchmarks.fronts                           # without LiteLLM; about seven minutes
    python -m benchmarks.fronts --litellm .venv-litellm   # installs LiteLLM there, unless the folder exists
    python -m benchmarks.fronts --provider anthropic --streams 1 50 --rounds 1

The simulator answers each call at the pace of a model: 300 ms of silence, and then a piece each 50 ms. `direct` calls
the simulator, `gateway` calls the gateway, and `LiteLLM` calls a proxy that passes the same model on (see
`litellm_proxy`). Callers in processes of their own make one call after the other (see `sdk_calls`). At most 20 of them
are measured: the typed stream of an SDK takes up to 0.2 ms for a piece, so that 200 of them fill a core and wait for
themselves, and not for the servers. The others keep the rest of the streams open, and read their bytes. The ways take
turns, in one order and then in the other, each with fresh callers and the same servers. The figures are of all rounds
together. CPU is user plus system, from the first call of a turn to the end of the last one: for the gateway, that of
the gateway, one worker and Valkey; for LiteLLM, that of the proxy.
All traffic stays on the loopback; every process ends with this one.
"""

import argparse
import asyncio
import math
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
import uvloop

from benchmarks.figures import percentile, show, show_origin
from benchmarks.litellm_proxy import install
from benchmarks.process import open_process
from benchmarks.sdks import point_sdks_at
from benchmarks.stand import open_stand
from benchmarks.ways import DIRECT, FIRST_TOKEN_MS, GATEWAY, LITELLM, Way, cpu_seconds, open_ways
from tailrace.api_kinds import API_KINDS

MORE_WALL_PERCENT: Final = 3
MORE_FIRST_MS: Final = 15
TIMES_LITELLM: Final = 1 / 4

_MOST_MEASURED: Final = 20
"""How many callers are measured at most."""
_UNCOUNTED: Final = 2
"""How many calls each caller makes beside those that are counted."""
_MIN_CALLS: Final = 5
"""How many calls a turn counts at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What the calls of one turn, or of several, took."""

    first_ms: Sequence[float]
    wall_ms: Sequence[float]
    pieces: int
    cpu_seconds: Mapping[str, float]
    """By the name of each process that has a part in the answer."""
    measured_cpu_seconds: float
    """That of the callers that are measured."""
    seconds: float
    """From the first call to the end of the last one."""

    @classmethod
    def together(cls, turns: Sequence["Turn"]) -> "Turn":
        """Return several turns as one."""
        return cls(
            first_ms=[ms for turn in turns for ms in turn.first_ms],
            wall_ms=[ms for turn in turns for ms in turn.wall_ms],
            pieces=sum(turn.pieces for turn in turns),
            cpu_seconds={name: sum(turn.cpu_seconds[name] for turn in turns) for name in turns[0].cpu_seconds},
            measured_cpu_seconds=sum(turn.measured_cpu_seconds for turn in turns),
            seconds=sum(turn.seconds for turn in turns),
        )

    @property
    def measured_cores(self) -> float:
        """How much of a core the callers that are measured took."""
        return self.measured_cpu_seconds / self.seconds

    def us_per_piece(self, *processes: str) -> float:
        """Return the CPU of some processes, or of all, for each piece."""
        return sum(self.cpu_seconds[name] for name in processes or self.cpu_seconds) / self.pieces * 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A number of streams, with what each way took for them."""

    streams: int
    turns: Mapping[str, Turn]

    @property
    def more_first_ms(self) -> float:
        """How much later the first text comes through the gateway, p50."""
        return percentile(self.turns[GATEWAY].first_ms, 50) - percentile(self.turns[DIRECT].first_ms, 50)

    @property
    def more_wall_percent(self) -> float:
        """How much longer the call takes through the gateway, p50."""
        return (percentile(self.turns[GATEWAY].wall_ms, 50) / percentile(self.turns[DIRECT].wall_ms, 50) - 1) * 100

    @property
    def times_litellm(self) -> float:
        """How many times the CPU of LiteLLM's proxy the path through the gateway takes."""
        return self.turns[GATEWAY].us_per_piece() / self.turns[LITELLM].us_per_piece()


async def measure_turn(way: Way, streams: int, options: argparse.Namespace) -> Turn:
    """Let fresh callers call on one way."""
    callers = min(streams, _MOST_MEASURED)
    calls = math.ceil(_MIN_CALLS / callers)
    seconds = (FIRST_TOKEN_MS + options.pieces * options.interval_ms) / 1e3
    point_sdks_at(way.url)
    parts = {"measure": callers, "fill": streams - callers}
    async with AsyncExitStack() as stack:
        processes = {
            part: await stack.enter_async_context(open_process("benchmarks.sdk_calls", options.provider))
            for part, number in parts.items()
            if number
        }
        await asyncio.gather(*(each.ask("ready") for each in processes.values()))
        process = psutil.Process(processes["measure"].pid)
        before, measured_before, began = way.cpu_seconds(), cpu_seconds(process), time.perf_counter()
        times, *_ = await asyncio.gather(
            *(
                each.ask(part, way.model, parts[part], calls, options.pieces, seconds)
                for part, each in processes.items()
            )
        )
        after, measured_after, ended = way.cpu_seconds(), cpu_seconds(process), time.perf_counter()
    return Turn(
        **times,
        pieces=streams * (calls + _UNCOUNTED) * options.pieces,
        cpu_seconds={name: after[name] - before[name] for name in after},
        measured_cpu_seconds=measured_after - measured_before,
        seconds=ended - began,
    )


async def measure_level(ways: Mapping[str, Way], streams: int, options: argparse.Namespace) -> Level:
    """Let the ways take turns."""
    turns: dict[str, list[Turn]] = {name: [] for name in ways}
    for number in range(options.rounds):
        for name in turns if number % 2 == 0 else reversed(turns):
            print(f"{streams} streams: {name} ...", file=sys.stderr, flush=True)
            turns[name].append(await measure_turn(ways[name], streams, options))
    return Level(streams=streams, turns={name: Turn.together(taken) for name, taken in turns.items()})


async def run(options: argparse.Namespace) -> None:
    """Measure, and print."""
    async with open_stand() as stand, open_ways(stand, options) as ways:
        levels = [await measure_level(ways, streams, options) for streams in options.streams]
    show(
        f"{options.provider}: answers of {options.pieces} pieces, one each {options.interval_ms:g} ms after "
        f"{FIRST_TOKEN_MS} ms; {options.rounds} rounds",
        ["streams", "calls", "first text, ms, p50", "p99", "whole answer, ms, p50", "p99", "measured callers' cores"],
        [
            [
                f"{level.streams} {name}",
                len(turn.wall_ms),
                *(percentile(times, percent) for times in (turn.first_ms, turn.wall_ms) for percent in (50, 99)),
                f"{turn.measured_cores:.2f}",
            ]
            for level in levels
            for name, turn in level.turns.items()
        ],
    )
    show(
        "CPU µs a piece",
        ["streams", *ways[GATEWAY].processes, "together", LITELLM],
        [
            [
                str(level.streams),
                *(level.turns[GATEWAY].us_per_piece(name) for name in ways[GATEWAY].processes),
                level.turns[GATEWAY].us_per_piece(),
                level.turns[LITELLM].us_per_piece() if LITELLM in ways else math.nan,
            ]
            for level in levels
        ],
    )
    show(
        "against the targets",
        ["", "measured", "target", ""],
        [
            *(
                _row(f"{each.streams} streams: later first text, ms", each.more_first_ms, MORE_FIRST_MS)
                for each in levels
            ),
            *(
                _row(f"{each.streams} streams: longer call, %", each.more_wall_percent, MORE_WALL_PERCENT)
                for each in levels
            ),
            *(
                _row(f"{each.streams} streams: times LiteLLM's CPU", each.times_litellm, TIMES_LITELLM)
                for each in levels
                if LITELLM in ways
            ),
        ],
    )
    show_origin()


def _row(what: str, measured: float, target: float) -> list[object]:
    return [what, f"{measured:.2f}", f"<= {target:.3g}", "met" if measured <= target else "not met"]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--provider", choices=API_KINDS, default="openai", help="whose SDK (default: %(default)s)")
    parser.add_argument(
        "--streams", type=int, nargs="+", default=[1, 50, 200], help="calls at a time (default: 1 50 200)"
    )
    parser.add_argument("--pieces", type=int, default=100, help="pieces of an answer (default: %(default)s)")
    parser.add_argument("--interval-ms", type=float, default=50, help="time between pieces (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each way (default: %(default)s)")
    parser.add_argument(
        "--litellm", type=Path, metavar="FOLDER", help="the virtual environment of LiteLLM; made if there is none"
    )
    options = parser.parse_args()
    if options.litellm:
        install(options.litellm)
    uvloop.run(run(options))


if __name__ == "__main__":
    main()
