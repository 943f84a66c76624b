"""A verb that starts other processes, and everything that it has started."""

import asyncio
import os
import secrets
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil

MARK = "TAILRACE_TEST_MARK"
_SECONDS = 150


class VerbProcess:
    """A verb that runs, and all that it started."""

    def __init__(self, process: Process, mark: str, scratch: Path) -> None:
        self._process = process
        self._mark = mark
        self._scratch = scratch
        self.shown = ""

    @property
    def pid(self) -> int:
        return self._process.pid

    async def shows(self, text: str) -> str:
        """Waits for a line; returns it."""
        assert self._process.stdout is not None
        async with asyncio.timeout(_SECONDS):
            while True:
                for line in self.shown.splitlines():
                    if text in line:
                        return line
                read = await self._process.stdout.readline()
                if not read:
                    _, errors = await self._process.communicate()
                    raise AssertionError(f"it has ended without {text!r}: {self.shown}{errors.decode()}")
                self.shown += read.decode()

    async def ends(self) -> tuple[int, str]:
        """Waits for its end; returns its exit code, and what went to stderr."""
        async with asyncio.timeout(_SECONDS):
            out, err = await self._process.communicate()
        self.shown += (out or b"").decode()
        return self._process.returncode or 0, err.decode()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def processes(self) -> Iterator[psutil.Process]:
        """All that have its mark in their environment, wherever they hang by now, and servers in its directory."""
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                # The server writes its title over its environment.
                if process.environ().get(MARK) == self._mark or self._scratch in Path(process.cwd()).parents:
                    yield process

    def find(self, *words: str) -> list[psutil.Process]:
        """The processes with these words in their command that have no child."""
        return [each for each in self.processes() if {*words} <= {*each.cmdline()} and not each.children()]

    async def leaves_nothing(self) -> None:
        """Waits until the last process has ended."""
        async with asyncio.timeout(_SECONDS):
            while [*self.processes()]:  # noqa: ASYNC110 - only the end of a child can be awaited
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running_verb(
    *arguments: str, scratch: Path, out: int = PIPE, directory: Path | None = None, **given: str
) -> AsyncGenerator[VerbProcess]:
    """Runs a verb without a Redis and without keys, but for what is given. Kills it at the exit."""
    mark = secrets.token_hex(8)
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tailrace.cli", *arguments),
        stdin=DEVNULL,
        stdout=out,
        stderr=PIPE,
        cwd=directory,
        env={**inherited, "TMPDIR": str(scratch), MARK: mark, **given},
    )
    verb = VerbProcess(process, mark, scratch)
    try:
        yield verb
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
        await verb.leaves_nothing()
