"""Prints events, statuses and other data as lines of JSON."""

import dataclasses
import json
import sys
from typing import Any

from tailrace import EntryId, Fleet, Job, JobStatus, Timing
from tailrace.events import Event


def print_status(status: JobStatus) -> None:
    """Print a status as one line of JSON."""
    print_json(**_fields(status))


def print_fleet(fleet: Fleet) -> None:
    """Print queues and workers as one line of JSON."""
    print_json(**dataclasses.asdict(fleet))


def print_json(**fields: object) -> None:
    """Print fields as one line of JSON, and flush it."""
    print(json.dumps(fields), flush=True)


def _fields(instance: JobStatus | Timing) -> dict[str, Any]:
    values = ((field.name, getattr(instance, field.name)) for field in dataclasses.fields(instance))
    return {name: _plain(value) for name, value in values if value is not None}


def _plain(value: object) -> object:
    match value:
        case EntryId():
            return str(value)
        case Timing():
            return _fields(value)
        case _:
            return value


class JsonLines:
    """Prints each event in its public form, as one line of JSON."""

    def __init__(self, *, with_job_id: bool) -> None:
        self._with_job_id = with_job_id

    def show(self, job: Job, event: Event) -> None:
        """Print an event. If there are several jobs, its first field is the id of its job."""
        named = {"job_id": job.id} if self._with_job_id else {}
        print_json(**named, **event.to_dict())

    def say(self, line: str) -> None:
        """Print a line about the jobs to stderr."""
        print(line, file=sys.stderr)

    def ask(self, question: str | None) -> None:
        """Print a question to stderr."""
        if question:
            self.say(question)

    async def draw(self) -> None:
        """Return at once: printed lines are not redrawn."""
