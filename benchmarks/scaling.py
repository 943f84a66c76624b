"""How throughput grows with the workers: jobs a second of 1, 2 and 4 workers on a load that needs next to no CPU.

    python -m benchmarks.scaling                        # 1, 2 and 4 workers of 20 places each

Each job takes about a second, most of which is silence: between half and one and a half, so that places do not come
free all at once. More jobs wait in the queue than are run, so that a place that comes free is filled at once; what
fills it late, or fills it twice as slowly when there are twice as many, is what this shows. `ideal` is what the places
could do without any pause in between. Counted are endings, after the first seconds.
All traffic stays on the loopback; every process ends with this one.
"""

import argparse
import asyncio
import random
import sys
import time
from typing import Final

import uvloop

from benchmarks.figures import show, show_origin
from benchmarks.stand import Stand, open_stand

GROWTH: Final = 0.9
"""How much of the first worker's throughput each further one adds, at least."""

_JOB_SECONDS: Final = 1.0
_WARM_UP_SECONDS: Final = 3.0
_LOOK_SECONDS: Final = 0.1
_MARGIN: Final = 2.0
"""Jobs in the queue for each one that the places could end in the time: a short run may be faster than its mean."""


async def jobs_per_second(workers: int, places: int, seconds: float) -> float:
    """The throughput of some workers, on a broker and a simulator of their own."""
    print(f"{workers} workers ...", file=sys.stderr, flush=True)
    async with open_stand() as stand:
        backlog = int(workers * places * (1 + _MARGIN * (_WARM_UP_SECONDS + seconds) / _JOB_SECONDS))
        for _ in range(backlog):
            await stand.enqueue(_model())
        async with stand.workers(workers, max_jobs=places):
            await asyncio.sleep(_WARM_UP_SECONDS)
            began, before = time.monotonic(), await _ended(stand)
            now, after = began, before
            # On a machine that is busy with others, the first jobs may take longer than a short run.
            while now < began + seconds or after == before:
                await asyncio.sleep(_LOOK_SECONDS)
                now, after = time.monotonic(), await _ended(stand)
            if not await stand.broker.call("ZCARD", stand.keys.queue("default")):
                raise SystemExit("The queue ran dry: what was measured is the end of the work.")
    return (after - before) / (now - began)


def _model() -> str:
    return f"demo?pieces=2&interval_ms=1&first_token_ms={random.uniform(0.5, 1.5) * _JOB_SECONDS * 1000:.0f}"


async def _ended(stand: Stand) -> int:
    ended: int = await stand.broker.call("XLEN", stand.keys.endings)
    return ended


async def run(options: argparse.Namespace) -> None:
    """Measures each number of workers, one after the other."""
    rates = {workers: await jobs_per_second(workers, options.places, options.seconds) for workers in options.workers}
    fewest = min(rates)
    rows: list[list[object]] = []
    for workers, rate in rates.items():
        growth = rate / workers / (rates[fewest] / fewest)
        rows.append([f"{workers}", rate, workers * options.places / _JOB_SECONDS, f"{growth:.2f}"])
    rows.append(["target", "", "", f">= {GROWTH}"])
    show(f"throughput; {options.places} places a worker", ["workers", "jobs/s", "ideal", "growth per worker"], rows)
    show_origin()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], help="(default: 1 2 4)")
    parser.add_argument("--places", type=int, default=20, help="of each worker (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=15, help="of counting, each time (default: %(default)s)")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
