"""What one worker costs Redis: its commands a second at rest, and while silent jobs run.

    python -m benchmarks.commands                       # at rest, and with 500 running jobs

Counted by Redis itself (INFO commandstats), so what scripts call is in it; over 15 s, the time of three leases. What is
left out: appends and bells, of which silent jobs have none once they have started, and the two calls of INFO.
All traffic stays on the loopback; every process ends with this one.
"""

import argparse
import asyncio
import time
from collections import Counter
from typing import Any, Final

import uvloop

from benchmarks.figures import show, show_origin
from benchmarks.stand import Stand, open_stand

AT_REST: Final = 10
AT_WORK: Final = 60

_SPARE: Final = 100
_TOP: Final = 8
_NOT_COUNTED: Final = frozenset({"exec", "info", "multi", "publish", "xadd"})


async def rates(stand: Stand, seconds: float) -> Counter[str]:
    """The commands a second, by name."""
    began, before = time.monotonic(), await _calls(stand)
    await asyncio.sleep(seconds)
    after, ended = await _calls(stand), time.monotonic()
    return Counter({name: calls / (ended - began) for name, calls in (after - before).items()})


async def _calls(stand: Stand) -> Counter[str]:
    stats: dict[str, Any] = await stand.broker.call("INFO", "commandstats")
    calls = {name.removeprefix("cmdstat_"): int(stat["calls"]) for name, stat in stats.items()}
    return Counter({name: count for name, count in calls.items() if name not in _NOT_COUNTED})


async def run(options: argparse.Namespace) -> None:
    """Measures one worker, first at rest."""
    async with open_stand() as stand, stand.worker(max_jobs=options.running + _SPARE):
        at_rest = await rates(stand, options.seconds)
        await stand.fill(options.running)
        at_work = await rates(stand, options.seconds)
    rows: list[list[object]] = [
        ["at rest", at_rest.total(), f"< {AT_REST}", _top(at_rest)],
        [f"{options.running:,} running", at_work.total(), f"<= {AT_WORK}", _top(at_work)],
    ]
    show("commands a second of one worker", ["worker", "all", "target", "most often"], rows)
    show_origin()


def _top(calls: Counter[str]) -> str:
    return ", ".join(f"{name} {rate:.1f}" for name, rate in calls.most_common(_TOP))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--running", type=int, default=500, help="jobs (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=15, help="of counting, each time (default: %(default)s)")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
