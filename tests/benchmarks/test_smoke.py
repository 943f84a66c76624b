"""The benchmarks run: with numbers so small that their figures mean nothing, each in a few seconds."""

import asyncio
import os
import re
import secrets
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.stand import PATIENCE, SILENT
from tailrace_worker.settings import WorkerSettings

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(180)

FIGURE = r"(-?[\d.,]+|inf)"
MET = r"(not )?met"

RUNS = {
    "pickup": ("--workers 1 --jobs 5 --running 0 3 --arq-running 0", rf"^3 +{FIGURE} +{FIGURE} +{FIGURE}$"),
    "commands": ("--running 3 --seconds 1", rf"^3 running +{FIGURE} +<= 60 .*mget"),
    "takeover": ("--workers 2 --kills 1 --at-a-time 1", rf"^1 +{FIGURE} +{FIGURE} +{FIGURE}$"),
    "providers": (
        "--streams 3 --rounds 1 --seconds 0.5 --readable-streams 2 --burst 2",
        rf"^3 streams: times bare +{FIGURE} +<= 1.35 +{MET}(?s:.*)^\.\.\. while 2 jobs start +{FIGURE} +<= 50 +{MET}",
    ),
    "shaping": ("--pieces 50 --rounds 1", rf"^deadlines, clean +{FIGURE} +{FIGURE} +<= 3 .*"),
    "redaction": ("--numbers 5", rf"^pl_PL +{FIGURE}.*$"),
    "sentences": ("tests/benchmarks/golden_rules.py", r"^GOLDEN_RULES +2 +3 +0 +1$"),
    "event_stream": ("--rounds 1", rf"^a chunk an event +{FIGURE} +{FIGURE} +{FIGURE}$"),
    "tails": (
        "--tails 20 --events 200 --shared 3 --deltas 50 --rounds 1 --seconds 0.5",
        rf"^no reads .*(?s:.*)^an answer of 50 deltas, ms +{FIGURE} +<= 150 +{MET}",
    ),
    "gateway": (
        "--streams 20 --events 200 --slow 2 --rounds 1 --seconds 0.5",
        rf"^gateway .*(?s:.*)^connections to Redis +{FIGURE} +<= 4 +{MET}",
    ),
    "fronts": (
        "--streams 22 --pieces 5 --interval-ms 5 --rounds 1",
        rf"^22 gateway +20 (?s:.*)^22 streams: longer call, % +{FIGURE} +<= 3 +{MET}",
    ),
    "render": ("--rounds 1 --kib 100", rf"^a table +{FIGURE} +{FIGURE} +{FIGURE} +{FIGURE}$"),
    "import_time": ("--rounds 1", rf"^import tailrace +{FIGURE} +{FIGURE} +<= 120$"),
    "hostile": ("--rounds 1", rf"^a text of a megabyte +completed(?: +{FIGURE}){{4}}$"),
    "verbatim": ("anthropic:demo", rf"^anthropic:demo(?: +{FIGURE}){{6}}$"),
    "scaling": ("--workers 1 --places 2 --seconds 1", rf"^1 +{FIGURE} +2.0 +1.00$"),
}


STAND_IN = """
import sys

from tailrace.cli import main

sys.exit(main(["simulate", "--port", sys.argv[sys.argv.index("--port") + 1]]))
"""
"""It knows each model that the provider knows, as LiteLLM's proxy does."""


@pytest.mark.process
@pytest.mark.parametrize("name", RUNS)
async def test_a_benchmark_prints_its_figures_and_leaves_no_process_behind(name: str) -> None:
    options, figures = RUNS[name]
    await _run(name, options, figures)


@pytest.mark.process
async def test_the_benchmark_of_the_fronts_compares_with_the_proxy_in_a_virtual_environment(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    python = programs / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (programs / "litellm").write_text(STAND_IN)
    options = f"--provider openai-responses --streams 1 --pieces 5 --interval-ms 5 --rounds 1 --litellm {tmp_path}"
    await _run("fronts", options, rf"^1 LiteLLM +5 (?s:.*)^1 streams: times LiteLLM's CPU +{FIGURE} +<= 0.25 +{MET}")


async def _run(name: str, options: str, figures: str) -> None:
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


def test_silent_jobs_outlast_a_filling_of_any_length(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PATIENCE.items():
        monkeypatch.setenv(name, value)
    settings = WorkerSettings.read()
    silence_seconds = int(SILENT.rpartition("=")[2]) / 1_000
    assert min(settings.first_token_seconds, settings.total_seconds) >= silence_seconds
