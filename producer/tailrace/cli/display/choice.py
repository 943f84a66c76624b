"""Chooses how events are shown: as JSON, as plain text, or live on a terminal."""

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import count
from typing import Final, Protocol

from tailrace import Job
from tailrace.cli.display.json_lines import JsonLines
from tailrace.cli.display.plain import PlainLines, PlainText
from tailrace.cli.tty.control_characters import is_dumb
from tailrace.events import Event

_SHORT_LENGTH: Final = 6


class Display(Protocol):
    """Shows the events of jobs.

    `draw` runs as a task of its own until it is cancelled. Before it ends, it shows all that it was given. What comes
    afterwards is shown at once.
    """

    def show(self, job: Job, event: Event, /) -> None:
        """Show the next event of a job."""

    def say(self, line: str, /) -> None:
        """Show a line of the command itself."""

    def ask(self, question: str | None, /) -> None:
        """Show a question, or remove it.

        Args:
            question: The question; `None` to remove it.
        """

    async def draw(self) -> None:
        """Redraw until it is cancelled."""


def open_display(jobs: Sequence[Job], *, as_json: bool = False, raw: bool = False) -> Display:
    """Return the display that suits the number of jobs, stdout and the options.

    Args:
        jobs: The jobs that will be shown, at least one.
        as_json: True to print each event as a line of JSON.
        raw: True to print plain text, on a terminal too.
    """
    if as_json:
        return JsonLines(with_job_id=len(jobs) > 1)
    if not raw and can_draw():
        # rich is imported only if it is used.
        from tailrace.cli.display.live_answer import LiveAnswer  # noqa: PLC0415
        from tailrace.cli.display.panels import LivePanels  # noqa: PLC0415

        return LiveAnswer(jobs[0]) if len(jobs) == 1 else LivePanels(short_names(jobs), jobs)
    return PlainText() if len(jobs) == 1 else PlainLines(short_names(jobs))


def short_names(jobs: Sequence[Job]) -> dict[str, str]:
    """Return a short name for each job id: its beginning, long enough to tell the jobs apart.

    Args:
        jobs: The jobs. No id occurs twice.
    """
    ids = [job.id for job in jobs]
    length = next(length for length in count(_SHORT_LENGTH) if len({job_id[:length] for job_id in ids}) == len(ids))
    return {job_id: job_id[:length] for job_id in ids}


def can_draw() -> bool:
    """Return whether rich is installed, and stdout is a terminal with UTF-8 and a movable cursor."""
    return (
        sys.stdout.isatty()
        and not is_dumb()
        and sys.stdout.encoding.lower().replace("-", "") == "utf8"
        and find_spec("rich") is not None
    )
