"""What it costs to import tailrace, beside what a service imports anyway.

    python -m benchmarks.import_time                    # 20 interpreters for each way of importing

The interpreters take turns, and each figure is the least of its own: what else the machine does only adds. Their own
start is left out, and so is the compiling: bytecode is written in a round that does not count. A name of tailrace is
loaded when it is first asked for: the last row is what a service pays that enqueues and tails.
"""

import argparse
import os
import subprocess
import sys
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.figures import show, show_origin

MOST_MS: Final = 120

WAYS: Final = {
    "import redis.asyncio, pydantic": "",
    "import tailrace": f"<= {MOST_MS}",
    "from tailrace import GenerationRequest, Tailrace": "",
}

_TIMED: Final = "import time; began = time.perf_counter(); {way}; print((time.perf_counter() - began) * 1000)"


def milliseconds(way: str, bytecode: str) -> float:
    """How long a new interpreter takes for it."""
    command = [sys.executable, "-c", _TIMED.format(way=way)]
    # An empty value counts as none.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": bytecode}
    return float(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="(default: %(default)s)")
    options = parser.parse_args()
    with TemporaryDirectory() as bytecode:
        _, *rounds = [[milliseconds(way, bytecode) for way in WAYS] for _ in range(options.rounds + 1)]
    least = [min(each) for each in zip(*rounds, strict=True)]
    rows = [[way, ms, ms - least[0], target] for (way, target), ms in zip(WAYS.items(), least, strict=True)]
    show("ms of importing", ["", "ms", "more than the first", "target"], rows)
    show_origin()


if __name__ == "__main__":
    main()
