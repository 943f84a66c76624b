"""What verbs print: data as JSON, and a stream of events as plain text."""

import dataclasses
import json
import sys
from typing import Any, TextIO

from tailrace import EntryId, Fleet, JobStatus
from tailrace.events import Cancelled, Completed, Delta, Ending, Event, Failed, Notice, Reasoning, Refusal, Started


def print_event(event: Event) -> None:
    """Prints an event as one line of JSON: its fields by their names in Python, without those that are `None`."""
    print_json(type=event.type, **_fields(event))


def print_status(status: JobStatus) -> None:
    """Prints a status as one line of JSON."""
    print_json(**_fields(status))


def print_fleet(fleet: Fleet) -> None:
    """Prints queues and workers as one line of JSON."""
    print_json(**dataclasses.asdict(fleet))


def print_json(**fields: object) -> None:
    """Prints fields as one line of JSON, at once."""
    print(json.dumps(fields), flush=True)


def _fields(instance: Event | JobStatus) -> dict[str, Any]:
    values = ((field.name, getattr(instance, field.name)) for field in dataclasses.fields(instance))
    return {name: str(value) if isinstance(value, EntryId) else value for name, value in values if value is not None}


class PlainText:
    """Prints events as they come: the text of the answer to stdout, byte for byte, and all else to stderr.

    Both may be the same terminal: where the one follows the other in mid-line, stderr gets the line break.
    """

    def __init__(self) -> None:
        self._open_line: TextIO | None = None
        """Where the last character printed was not the end of a line."""

    def show(self, event: Event) -> None:
        """Prints what a person wants to see of an event, which may be nothing."""
        match event:
            case Delta():
                self._write(event.text, sys.stdout)
            case Reasoning():
                self._write(f"\x1b[2m{event.text}\x1b[22m" if sys.stderr.isatty() else event.text, sys.stderr)
            case Refusal():
                self._write(event.text, sys.stderr)
            case Notice():
                self.say(f"{event.code}: {event.message}")
            case Started() if event.attempt > 1 and not event.continues:
                self.say(f"attempt {event.attempt} begins ({event.reason}): the text before this line is void")
            case Completed() | Failed() | Cancelled():
                self.say(_summary(event))
            case _:
                pass

    def say(self, line: str) -> None:
        """Prints a line about the job to stderr."""
        self._break_line()
        print(" ".join(line.split()), file=sys.stderr)

    def _write(self, text: str, file: TextIO) -> None:
        if file is not self._open_line:
            self._break_line()
        print(text, end="", file=file, flush=True)
        self._open_line = None if text.endswith("\n") else file

    def _break_line(self) -> None:
        if self._open_line is not None:
            print(file=sys.stderr)
            self._open_line = None


def _summary(ending: Ending) -> str:
    figures = (
        ("{} tokens in", ending.input_tokens),
        ("{} tokens out", ending.output_tokens),
        ("queued {:,} ms", ending.queued_ms),
        ("first token after {:,} ms", ending.ttft_ms),
        ("ran {:,} ms", ending.duration_ms),
        ("{:.0f} tokens/s", ending.tokens_per_second),
    )
    known = ", ".join(form.format(figure) for form, figure in figures if figure is not None)
    return f"{ending.type}: {_why(ending)}" + (f" ({known})" if known else "")


def _why(ending: Ending) -> str:
    match ending:
        case Completed():
            return ending.finish_reason
        case Failed():
            return f"{ending.code}: {ending.message}"
        case Cancelled():
            return ending.reason or "no reason given"
