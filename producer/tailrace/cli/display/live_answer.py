"""`LiveAnswer`: one answer on a terminal, as it grows."""

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.text import Text

from tailrace import Job, Settings
from tailrace.cli.display.ending import coloured_summary
from tailrace.cli.display.progress import Progress
from tailrace.cli.display.transcript import Transcript
from tailrace.cli.tty.screen import Screen, unbroken
from tailrace.events import Ending, Event


class LiveAnswer:
    """A `Display` of one job. It prints final text once, and redraws text that may still change."""

    def __init__(self, job: Job, *, console: Console | None = None) -> None:
        self._job = job
        self._settings = Settings.read()
        self._screen = Screen(self, console=console, transient=True)
        self._progress = Progress()
        self._transcript = Transcript(self._screen.print)
        self._question: str | None = None
        self._version = 0
        self._rendered: tuple[tuple[int, int, int], list[list[Segment]]] | None = None
        """The drawn lines of the open part, and the version, width and height for which they were drawn."""

    def show(self, _: Job, event: Event) -> None:
        """Show the next event."""
        self._version += 1
        self._progress.add(event)
        if isinstance(event, Ending):
            self._transcript.end()
            self._screen.print(*self._transcript.sources())
            self._screen.print(*[Text()] * self._transcript.has_parts, coloured_summary(event, self._settings))
        else:
            self._transcript.add(event)

    def say(self, line: str) -> None:
        """Print a line above the open part."""
        self._screen.print(unbroken(line))

    def ask(self, question: str | None) -> None:
        """Show a question in place of the status line."""
        self._question = question

    async def draw(self) -> None:
        """Redraw until it is cancelled, and then print the open part."""
        await self._progress.read_limit(self._job)
        try:
            await self._screen.draw()
        finally:
            self._transcript.end()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the end of the open part, and the status line below it."""
        for line in self._open_lines(console, options):
            yield from line
            yield Segment.line()
        if self._question:
            question = Text(self._question, style="bold yellow")
            question.truncate(options.max_width, overflow="ellipsis")
            yield question
        else:
            yield self._progress.line(options.max_width)

    def _open_lines(self, console: Console, options: ConsoleOptions) -> list[list[Segment]]:
        width, height = options.max_width, max(1, options.size.height - 2)
        version = self._version, width, height
        if self._rendered is None or self._rendered[0] != version:
            preview = self._transcript.preview(width=width, height=height)
            lines = console.render_lines(preview, options, pad=False) if preview is not None else []
            self._rendered = version, lines[-height:]
        return self._rendered[1]
