"""How the benchmarks show what they measured: the figures, the targets under them, and the command that gives them."""

import math
import os
import shlex
import sys
from collections.abc import Sequence


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of the values that as many percent of them do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints a table whose first column is text, and whose others are figures; NaN is none."""
    cells = [list(header), *([_written(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    print(f"\n{title}")
    for first, *others in cells:
        print("   ".join((first.ljust(widths[0]), *map(str.rjust, others, widths[1:]))).rstrip())


def show_origin() -> None:
    """Prints how the figures came about."""
    module = sys.modules["__main__"].__spec__
    command = ["python", "-m", module.name if module else sys.argv[0], *sys.argv[1:]]
    busy, *_ = os.getloadavg()
    print(f"\n{shlex.join(command)}   # {os.cpu_count()} cores; load of the last minute: {busy:.1f}")


def _written(cell: object) -> str:
    if isinstance(cell, float):
        if math.isnan(cell):
            return ""
        return f"{cell:,.1f}" if abs(cell) < 1_000 else f"{cell:,.0f}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
