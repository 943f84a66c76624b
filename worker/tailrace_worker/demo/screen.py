"""The screen of the demo as plain lines. `live` has the one for a terminal."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec

from tailrace_worker.demo.job import DemoJob, DemoScreen, Update

_LINE_LENGTH = 88
_LABEL_LENGTH = 9


class PlainScreen:
    """A `DemoScreen` of plain lines, for a pipe, a file, or a machine without rich.

    A job's line is shown once complete.
    """

    def heading(self, text: str) -> None:
        """Begin a part with a heading."""
        _write(f"\n{text}\n")

    def fact(self, label: str, text: str) -> None:
        """Show one fact on one line."""
        _write(f"{label:{_LABEL_LENGTH}} | {text}\n")

    @contextmanager
    def jobs(self, *jobs: DemoJob) -> Generator[Update]:
        """Show jobs, whose lines alternate as they become complete."""
        shown = dict.fromkeys(jobs, 0)

        def update(job: DemoJob) -> None:
            has_ended = job.answer.ending is not None
            for line in _lines(job.answer.text[shown[job] :], is_whole=has_ended):
                shown[job] += len(line)
                self.fact(job.label, line.rstrip())
            if has_ended:
                self.fact(job.label, f"[{job.status}]")

        yield update


def open_screen() -> DemoScreen:
    """Return the live screen if rich is installed and the terminal can move its cursor; otherwise plain lines."""
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and find_spec("rich") is not None:
        from tailrace_worker.demo.live import LiveScreen  # noqa: PLC0415

        return LiveScreen()
    return PlainScreen()


def _lines(text: str, *, is_whole: bool) -> Generator[str]:
    """Yield the text as lines of limited length. A last line that may still grow is left out."""
    while text:
        length = text.find("\n", 0, _LINE_LENGTH) + 1
        if not length and len(text) > _LINE_LENGTH:
            length = text.rfind(" ", 0, _LINE_LENGTH) + 1 or _LINE_LENGTH
        if not length and not is_whole:
            return
        yield text[: length or None]
        text = text[length or len(text) :]


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
