"""Chooses how events are shown: as JSON, as plain text, or drawn on a terminal."""

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
    """Shows jobs as they grow.

    `draw` runs beside all else until it is cancelled, and leaves nothing unshown. After it the rest is shown at once.
    """

    def show(self, job: Job, event: Event, /) -> None:
        """Show the next event of a job."""

    def say(self, line: str, /) -> None:
        """Show a line of the command itself."""

    def ask(self, question: str | None, /) -> None:
        """Show a question, or with `None` remove it."""

    async def draw(self) -> None:
        """Draw again and again, until it is cancelled."""


def open_display(jobs: Sequence[Job], *, as_json: bool = False, raw: bool = False) -> Display:
    """What suits the jobs, stdout, and what was asked for."""
    if as_json:
        return JsonLines(with_job_id=len(jobs) > 1)
    if not raw and _can_draw():
        # rich is imported only if it is used.
        from tailrace.cli.display.live_answer import LiveAnswer  # noqa: PLC0415
        from tailrace.cli.display.panels import LivePanels  # noqa: PLC0415

        return LiveAnswer(jobs[0]) if len(jobs) == 1 else LivePanels(short_names(jobs), jobs)
    return PlainText() if len(jobs) == 1 else PlainLines(short_names(jobs))


def short_names(jobs: Sequence[Job]) -> dict[str, str]:
    """Beginnings of the jobs' ids that tell them apart, by the ids."""
    ids = [job.id for job in jobs]
    length = next(length for length in count(_SHORT_LENGTH) if len({job_id[:length] for job_id in ids}) == len(ids))
    return {job_id: job_id[:length] for job_id in ids}


def _can_draw() -> bool:
    """Whether there is rich, and a terminal that moves its cursor and knows more than ASCII."""
    return (
        sys.stdout.isatty()
        and not is_dumb()
        and sys.stdout.encoding.lower().replace("-", "") == "utf8"
        and find_spec("rich") is not None
    )
