"""The benchmarks run: with numbers so small that their figures mean nothing, each in a few seconds."""

import asyncio
import os
import re
import secrets
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]

RUNS = {
    "pickup": ("--workers 1 --jobs 5 --running 0 3 --arq-running 0", r"^3 +[\d.]+ +[\d.]+ +[\d.]+$"),
    "commands": ("--running 3 --seconds 1", r"^3 running +[\d.]+ +<= 60 .*mget"),
    "takeover": ("--workers 2 --kills 1 --at-a-time 1", r"^1 +[\d.]+ +[\d.]+ +[\d.]+$"),
    "providers": (
        "--streams 3 --rounds 1 --seconds 0.5 --readable-streams 2 --burst 2",
        r"^3 streams: times bare +[\d.inf]+ +<= 1.35(?s:.*)^\.\.\. while 2 jobs start +[\d.]+ +<= 50",
    ),
    "shaping": ("--pieces 50 --rounds 1", r"^deadlines, clean +[\d.]+ +[\d.]+ +<= 3 .*"),
    "event_stream": ("--rounds 1", r"^a chunk an event +[\d.]+ +[\d.]+ +[\d.]+$"),
    "tails": (
        "--tails 20 --events 200 --shared 3 --deltas 50 --rounds 1 --seconds 0.2",
        r"^no reads .*(?s:.*)^an answer of 50 deltas, ms +[\d.]+ +<= 150 +met",
    ),
    "render": ("--rounds 1 --kib 100", r"^a table +[\d.,]+ +[\d.,]+ +[\d.,]+ +[\d.]+$"),
    "import_time": ("--rounds 1", r"^import tailrace +[\d.]+ +-?[\d.]+ +<= 120$"),
    "scaling": ("--workers 1 --places 2 --seconds 1", r"^1 +[\d.]+ +2.0 +1.00$"),
}


@pytest.mark.parametrize("name", RUNS)
async def test_a_benchmark_prints_its_figures_and_leaves_no_process_behind(name: str) -> None:
    options, figures = RUNS[name]
    mark = secrets.token_hex(8)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"benchmarks.{name}", *options.split()),
        cwd=ROOT,
        env={**os.environ, "TAILRACE_LEASE_SECONDS": "1", "BENCHMARK_MARK": mark},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    text = output.decode()
    assert process.returncode == 0, text
    assert re.search(figures, text, re.MULTILINE), text
    assert f"python -m benchmarks.{name} {options}" in text
    assert not [left for left in psutil.process_iter(["environ"]) if mark in (left.info["environ"] or {}).values()]
