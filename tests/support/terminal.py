"""A terminal, as far as a live display uses one: it obeys what rich writes, and takes nothing else."""

import asyncio
import codecs
import fcntl
import os
import re
import signal
import struct
import sys
import termios
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

from rich.cells import cell_len

_SEQUENCE: Final = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])")
_PROGRAM: Final = (
    "import fcntl, sys, termios\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"  # So that Ctrl-C is a signal.
    "from tailrace.cli import main\n"
    "sys.exit(main())"
)


class Screen:
    """What stands on a terminal, with what has scrolled away. A sequence that it does not know fails the test."""

    def __init__(self, *, columns: int, lines: int) -> None:
        self.columns = columns
        self.lines = lines
        self.rows: list[list[str]] = [[]]
        """Cells; the second one of a wide character is empty."""
        self._row = 0
        self._column = 0
        self._unread: str = ""
        self.written = ""
        """All that was written."""

    @property
    def text(self) -> str:
        """What can be read, from the first line to the last, or to the cursor where that is lower."""
        rows = ["".join(row).rstrip() for row in self.rows]
        while len(rows) > self._row + 1 and not rows[-1]:
            # Drawn for a moment, and taken away.
            rows.pop()
        return "\n".join(rows)

    def write(self, text: str) -> None:
        """Obeys."""
        self.written += text
        self._unread += text
        while self._unread:
            if self._unread[0] != "\x1b":
                self._put(self._unread[0])
                self._unread = self._unread[1:]
            elif match := _SEQUENCE.match(self._unread):
                self._obey(*match.groups())
                self._unread = self._unread[match.end() :]
            else:
                # It may have come in part.
                assert re.fullmatch(r"\x1b(\[[\d;?]*)?", self._unread[:16]), repr(self._unread[:16])
                return

    def _put(self, character: str) -> None:
        if character == "\n":
            self._row += 1
            if self._row == len(self.rows):
                self.rows.append([])
        elif character == "\r":
            self._column = 0
        else:
            assert character.isprintable(), repr(character)
            width = cell_len(character)
            if self._column + width > self.columns:
                self._put("\n")
                self._column = 0
            row = self.rows[self._row]
            row += [" "] * (self._column + width - len(row))
            row[self._column : self._column + width] = [character] + [""] * (width - 1)
            self._column += width

    def _obey(self, private: str, numbers: str, command: str) -> None:
        match private, command:
            case "", "A":
                self._row = max(self._row - int(numbers), len(self.rows) - self.lines, 0)
            case "", "K" if numbers == "2":
                self.rows[self._row] = []
            case "?", "h" | "l" if numbers == "25":
                pass
            case "", "m":
                pass
            case _:
                raise AssertionError(f"a sequence that no display writes: {private}{numbers}{command}")


class TerminalProcess:
    """A `tailrace` at a terminal."""

    def __init__(self, process: asyncio.subprocess.Process, terminal: int, screen: Screen) -> None:
        self._process = process
        self._terminal = terminal
        self._screen = screen
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._written = asyncio.Event()
        asyncio.get_running_loop().add_reader(terminal, self._read)

    @property
    def screen(self) -> Screen:
        return self._screen

    @property
    def modes(self) -> list[object]:
        """Echo and the like."""
        return termios.tcgetattr(self._terminal)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def press(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def resize(self, *, columns: int, lines: int) -> None:
        _set_size(self._terminal, columns=columns, lines=lines)
        self._screen.columns, self._screen.lines = columns, lines

    async def shows(self, condition: str | Callable[[str], bool], *, within_seconds: float = 20) -> str:
        """Waits until a text, or what a condition is about, can be read."""

        def holds(text: str) -> bool:
            return condition in text if isinstance(condition, str) else condition(text)

        try:
            async with asyncio.timeout(within_seconds):
                while not holds(self._screen.text):
                    self._written.clear()
                    await self._written.wait()
        except TimeoutError:
            raise AssertionError(f"it never came; this did:\n{self._screen.text}") from None
        return self._screen.text

    async def ended(self) -> int:
        """Waits for the exit code, and reads the rest."""
        async with asyncio.timeout(60):
            code = await self._process.wait()
        self._read()
        return code

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._terminal)
        with suppress(ProcessLookupError):
            self._process.kill()

    def _read(self) -> None:
        # A terminal that nobody holds open any more is an error to read from.
        with suppress(BlockingIOError, OSError):
            while data := os.read(self._terminal, 65_536):
                self._screen.write(self._decoder.decode(data))
                self._written.set()


@asynccontextmanager
async def at_terminal(
    *arguments: str,
    columns: int = 80,
    lines: int = 24,
    variables: Mapping[str, str] | None = None,
    program: str = _PROGRAM,
) -> AsyncGenerator[TerminalProcess]:
    """Runs the command, or a program that runs it, at a terminal of its own."""
    ours, theirs = os.openpty()
    os.set_blocking(ours, False)
    _set_size(ours, columns=columns, lines=lines)
    environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, *arguments),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**environment, "TERM": "xterm-256color", "PYTHONUTF8": "1", **(variables or {})},
    )
    os.close(theirs)
    terminal = TerminalProcess(process, ours, Screen(columns=columns, lines=lines))
    try:
        yield terminal
    finally:
        terminal.close()
        await process.wait()
        os.close(ours)


def _set_size(terminal: int, *, columns: int, lines: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
