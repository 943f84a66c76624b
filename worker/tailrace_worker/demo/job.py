"""A job of the demo, and what a screen has to be able to show of it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias

from tailrace.answer import Answer
from tailrace.events import Cancelled, Completed, Delta, Event, Failed, Queued, Started


class DemoJob:
    """One job, as far as it has come."""

    def __init__(self, label: str, model: str) -> None:
        self.label = label
        self.model = model
        self.answer = Answer()
        self.status = "enqueued"

    def add(self, event: Event) -> None:
        """Adds an event, in the order of the stream."""
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


class Screen(Protocol):
    """Where the demo is shown."""

    def heading(self, text: str) -> None:
        """Begins a part."""
        ...

    def fact(self, label: str, text: str) -> None:
        """Says one thing, on one line."""
        ...

    def jobs(self, *jobs: DemoJob) -> AbstractContextManager[Update]:
        """Shows jobs side by side, each as it is whenever it is updated."""
        ...


def _seconds(milliseconds: int | None) -> str:
    return f"{(milliseconds or 0) / 1000:.1f} s"
