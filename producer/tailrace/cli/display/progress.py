"""The progress of an answer, computed from its events."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from rich.text import Text

from tailrace import GenerationRequest, Job, TailraceError
from tailrace.cli.tty.control_characters import visible_line
from tailrace.events import Delta, Event, Queued, Reasoning, Refusal, Started, ToolCall
from tailrace.request.any_request import AnyRequest

BYTES_PER_TOKEN: Final = 4
"""The usual value for English. Other scripts have more bytes per character, but fewer characters per token."""

_SPINNER: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_TURNS_PER_SECOND: Final = 10
_WINDOW_SECONDS: Final = 5.0
_MIN_WINDOW_SECONDS: Final = 0.5
_BAR_LENGTH: Final = 10


class Progress:
    """Counts the bytes of an answer, and estimates its tokens, whose number is known only at the ending."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """Start without bytes.

        Args:
            clock: Returns the current Unix time in seconds.
        """
        self.max_output_tokens: int | None = None
        """The request's `max_output_tokens`, if it is known."""
        self._clock = clock
        self._state = "waiting"
        self._since = clock()
        self._bytes = 0
        self._samples: deque[tuple[float, int]] = deque()
        """The number of bytes at several moments of the last seconds, as pairs of Unix seconds and bytes."""

    def add(self, event: Event) -> None:
        """Add an event."""
        match event:
            case Queued():
                self._begin("queued", event.at)
            case Started():
                self._begin(visible_line(f"{event.provider} {event.model}"), event.at)
                if not event.continues:
                    self._bytes = 0
                    self._samples.clear()
            case Delta() | Reasoning() | Refusal():
                self._bytes += len(event.text.encode())
            case ToolCall():
                self._bytes += len(event.arguments.encode())
            case _:
                pass

    async def read_limit(self, job: Job) -> None:
        """Read `max_output_tokens` from the job's request. An error leaves it unknown."""
        # The tail of the job raises the same error, and reports it.
        with suppress(TailraceError):
            self.describe(await job.request())

    def describe(self, request: AnyRequest) -> None:
        """Take `max_output_tokens` from a request. A verbatim one leaves it unknown."""
        if isinstance(request, GenerationRequest):
            self.max_output_tokens = request.max_output_tokens

    @property
    def tokens(self) -> int:
        """The estimated number of tokens so far."""
        return -(-self._bytes // BYTES_PER_TOKEN)

    def line(self, width: int) -> Text:
        """Return the status line, or as much of it as fits. The most important parts come first.

        Call it several times a second: each call takes a sample for the rate, and turns the spinner.

        Args:
            width: The width of the line in columns.
        """
        now = self._clock()
        elapsed = f"{max(0, now - self._since):.0f} s"
        if not self._bytes:
            spinner = _SPINNER[int(now * _TURNS_PER_SECOND) % len(_SPINNER)]
            return _fitting([Text.assemble((spinner, "cyan"), f" {self._state}"), Text(elapsed)], width)
        parts = [Text(f"~{self.tokens:,} tokens"), Text(elapsed)]
        rate = self._rate(now)
        if rate is not None:
            parts.append(Text(f"~{rate:,.0f} tokens/s"))
        if self.max_output_tokens:
            parts.append(_share(self.tokens, self.max_output_tokens))
        return _fitting(parts, width)

    def _begin(self, state: str, at: int) -> None:
        self._state = state
        # The clock of the machine that wrote the event may be ahead of ours.
        self._since = min(at / 1000, self._clock())

    def _rate(self, now: float) -> float | None:
        """Return the tokens per second of the last seconds, or `None` if they are too few.

        The first sample is the start: text that had come before it came at once, and says nothing about the rate.
        """
        self._samples.append((now, self._bytes))
        while len(self._samples) > 2 and self._samples[1][0] <= now - _WINDOW_SECONDS:
            self._samples.popleft()
        then, before = self._samples[0]
        if now - then < _MIN_WINDOW_SECONDS:
            return None
        return (self._bytes - before) / BYTES_PER_TOKEN / (now - then)


def _share(tokens: int, limit: int) -> Text:
    share = min(1.0, tokens / limit)
    filled = round(share * _BAR_LENGTH)
    bar = ("━" * filled, "cyan"), ("─" * (_BAR_LENGTH - filled), "bright_black")
    return Text.assemble(*bar, f" ~{share:.0%} of {limit:,}")


def _fitting(parts: Sequence[Text], width: int) -> Text:
    separator = Text(" · ")
    line = separator.join(parts)
    while line.cell_len > width and len(parts) > 1:
        parts = parts[:-1]
        line = separator.join(parts)
    line.truncate(width, overflow="ellipsis")
    line.stylize("dim")
    return line
