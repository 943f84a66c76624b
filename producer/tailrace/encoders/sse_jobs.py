"""Several jobs in one response, because browsers open only six connections to a host over HTTP/1.1."""

import hashlib
from collections.abc import Collection, Mapping
from typing import Final

from tailrace.cursor import BEGINNING, EntryId
from tailrace.errors import InvalidCursor, InvalidRequest
from tailrace.events import Event

MAX_JOBS: Final = 50
"""How many jobs one response may have. The largest cursor of 50 jobs has 2 KB, and servers accept 8 KB of headers."""


def parse_jobs_cursor(text: str | None, jobs: Collection[str]) -> dict[str, EntryId]:
    """Read the cursor of a response with several jobs, which a client sends as its `Last-Event-ID`.

    Args:
        text: The id of the last frame that the client got; `None` or empty if it got none.
        jobs: The ids of the jobs, in any order.

    Returns:
        The cursor of each job, after which its events go on.

    Raises:
        InvalidCursor: The text is not a cursor of exactly these jobs.
        InvalidRequest: There are more than 50 jobs, or none.
    """
    ordered = _ordered(jobs)
    if not text:
        return dict.fromkeys(ordered, BEGINNING)
    fingerprint, _, cursors = text.partition(":")
    parts = cursors.split(",", MAX_JOBS)
    if fingerprint != _fingerprint(ordered) or len(parts) != len(ordered):
        raise InvalidCursor("The cursor belongs to other jobs: it can be used only with the jobs of its own response.")
    return {job_id: EntryId.parse(part) for job_id, part in zip(ordered, parts, strict=True)}


class JobsSseEncoder:
    """Encodes the events of several jobs as one stream of server-sent events.

    `data:` is that of `SseEncoder`, with the job's id as `job` before the other fields. `id:` is one cursor for all
    jobs. A client that reconnects gets exactly the events of each job that it missed. The order of events of different
    jobs may differ from that of the first response.

    Args:
        cursors: The cursor after which the events of each job begin, as `parse_jobs_cursor` returns them.

    Raises:
        InvalidRequest: There are more than 50 jobs, or none.
    """

    def __init__(self, cursors: Mapping[str, EntryId]) -> None:
        ordered = _ordered(cursors)
        self._fingerprint = _fingerprint(ordered)
        self._cursors = {job_id: str(cursors[job_id]) for job_id in ordered}

    def encode(self, job_id: str, event: Event) -> bytes:
        """Encode the next event of one of the jobs.

        Args:
            job_id: The id of the job.
            event: The next event of its tail.

        Returns:
            One frame.
        """
        self._cursors[job_id] = str(event.id)
        cursor = f"{self._fingerprint}:{','.join(self._cursors.values())}"
        return f'id: {cursor}\nevent: {event.type}\ndata: {{"job": "{job_id}", {event.to_json()[1:]}\n\n'.encode()


def _ordered(jobs: Collection[str]) -> list[str]:
    ordered = sorted(set(jobs))
    if not 0 < len(ordered) <= MAX_JOBS:
        raise InvalidRequest(f"One stream can have 1 to {MAX_JOBS} jobs, not {len(ordered)}.")
    return ordered


def _fingerprint(ordered: list[str]) -> str:
    """Return 8 hexadecimal digits that identify these jobs, because the cursor does not name them."""
    return hashlib.blake2b(",".join(ordered).encode(), digest_size=4).hexdigest()
