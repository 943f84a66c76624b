"""A job of the demo, and the protocol of the screens that show it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias

from tailrace.answer import Answer
from tailrace.events import Cancelled, Completed, Delta, Event, Failed, Queued, Started


class DemoJob:
    """The state of one job: its answer so far, and its status in words."""

    def __init__(self, label: str, model: str) -> None:
        self.label = label
        self.model = model
        self.answer = Answer()
        self.status = "enqueued"

    def add(self, event: Event) -> None:
        """Add the next event of the job's stream.

        Args:
            event: The event.
        """
        self.answer.add(event)
        match event:
            case Queued():
                self.status = "in the queue"
            case Started():
                self.status = "started, no text yet"
            case Delta():
                self.status = "streaming"
            case Completed():
                self.status = f"completed: {event.output_tokens} tokens in {_seconds(event.duration_ms)}"
            case Cancelled():
                self.status = f"cancelled after {_seconds(event.duration_ms)}"
            case Failed():
                self.status = f"failed: {event.code}"
            case _:
                pass


Update: TypeAlias = Callable[[DemoJob], None]


class DemoScreen(Protocol):
    """The place where the demo is shown."""

    def heading(self, text: str) -> None:
        """Begin a part with a heading."""
        ...

    def fact(self, label: str, text: str) -> None:
        """Show one fact on one line."""
        ...

    def jobs(self, *jobs: DemoJob) -> AbstractContextManager[Update]:
        """Show jobs side by side while the block runs.

        Args:
            jobs: The jobs.

        Returns:
            A context manager whose value is a function that shows a job's new state.
        """
        ...


def _seconds(milliseconds: int | None) -> str:
    return f"{(milliseconds or 0) / 1000:.1f} s"
