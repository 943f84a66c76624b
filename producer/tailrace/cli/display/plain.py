"""Prints answers as plain text, to pipes, and to terminals without rich."""

import sys
from collections.abc import Mapping
from typing import TextIO

from tailrace import Job
from tailrace.cli.display.sources import Sources
from tailrace.cli.display.summary import summary
from tailrace.cli.tty.control_characters import is_dumb, visible
from tailrace.events import (
    Cancelled,
    Completed,
    Delta,
    Ending,
    Event,
    Failed,
    Frames,
    Gap,
    Notice,
    Reasoning,
    Refusal,
    Started,
    ToolCall,
)


def remark(event: Event) -> str | None:
    """Return what an event says about the answer, on one line, or `None` if the event needs no remark."""
    line = _remark(event)
    return line and " ".join(line.split())


def _remark(event: Event) -> str | None:
    match event:
        case Notice():
            return f"{event.code}: {event.message}"
        case Gap():
            return f"gap: Redis lost the events between {event.after} and {event.before}"
        case Started() if event.attempt > 1 and not event.continues:
            return f"attempt {event.attempt} begins ({event.reason}): the text before this line is void"
        case Completed() | Failed() | Cancelled():
            return summary(event)
        case _:
            return None


class PlainText:
    """Prints a job's events as they come: the text of the answer unchanged to stdout, and everything else to stderr.

    Both may be the same terminal. So if output changes between them in the middle of a line, a line break is written to
    stderr first. Control characters are replaced on a terminal.
    """

    def __init__(self) -> None:
        self._open_line: TextIO | None = None
        """The stream on which the last character was not the end of a line."""
        self._call: int | None = None
        """The index of the tool call that is being printed."""
        self._sources = Sources()

    def show(self, _: Job, event: Event) -> None:
        """Print the part of an event that a person wants to see, if any."""
        if not isinstance(event, ToolCall | Frames):
            self._call = None
        self._sources.add(event)
        if isinstance(event, Ending):
            for source in self._sources.lines():
                self.say(source)
        match event:
            case Delta():
                self._write(event.text, sys.stdout)
            case Reasoning():
                self._write(event.text, sys.stderr, dimmed=True)
            case Refusal():
                self._write(event.text, sys.stderr)
            case ToolCall():
                self._show_call(event)
            case _:
                if line := remark(event):
                    self.say(line)

    def say(self, line: str) -> None:
        """Print a line about the job to stderr."""
        self._break_line()
        self._write(f"{line}\n", sys.stderr)

    def ask(self, question: str | None) -> None:
        """Print a question to stderr."""
        if question:
            self.say(question)

    async def draw(self) -> None:
        """Return at once: printed text is not redrawn."""

    def _show_call(self, fragment: ToolCall) -> None:
        if fragment.index != self._call:
            self._call = fragment.index
            self._break_line()
            self._write(f"tool call: {fragment.name or 'unnamed'} ", sys.stderr)
        self._write(fragment.arguments, sys.stderr)

    def _write(self, text: str, file: TextIO, *, dimmed: bool = False) -> None:
        if not text:
            return
        if file is not self._open_line:
            self._break_line()
        self._open_line = None if text.endswith("\n") else file
        if file.isatty():
            text = visible(text)
            if dimmed and not is_dumb():
                text = f"\x1b[2m{text}\x1b[22m"
        print(text, end="", file=file, flush=True)

    def _break_line(self) -> None:
        if self._open_line is not None:
            print(file=sys.stderr)
            self._open_line = None


class PlainLines:
    """Prints the events of several jobs in whole lines. Each line begins with the short name of its job."""

    def __init__(self, names: Mapping[str, str]) -> None:
        """Start without text.

        Args:
            names: The short name of each job, by its id.
        """
        self._names = names
        self._begun: dict[str, list[str]] = {job_id: [] for job_id in names}
        """For each job, the pieces of the line that has not ended."""
        self._sources = {job_id: Sources() for job_id in names}

    def show(self, job: Job, event: Event) -> None:
        """Print the lines of text that have ended to stdout, and remarks to stderr."""
        begun = self._begun[job.id]
        sources = self._sources[job.id]
        sources.add(event)
        if isinstance(event, Delta):
            *ended, rest = event.text.split("\n")
            for piece in ended:
                self._print(job, "".join([*begun, piece]), sys.stdout)
                begun.clear()
            if rest:
                begun.append(rest)
        elif line := remark(event):
            if begun:
                self._print(job, "".join(begun), sys.stdout)
                begun.clear()
            for each in (*(sources.lines() if isinstance(event, Ending) else ()), line):
                self._print(job, each, sys.stderr)

    def say(self, line: str) -> None:
        """Print a line about all jobs to stderr."""
        print(line, file=sys.stderr)

    def ask(self, question: str | None) -> None:
        """Print a question to stderr."""
        if question:
            self.say(question)

    async def draw(self) -> None:
        """Return at once: printed text is not redrawn."""

    def _print(self, job: Job, line: str, file: TextIO) -> None:
        line = f"{self._names[job.id]} | {line}"
        print(visible(line) if file.isatty() else line, file=file, flush=True)
