"""`Front`: which mapping makes the frames of a job, as its record keeps it; `Api`: the two mappings of an API."""

from dataclasses import dataclass
from typing import Final

from tailrace import IdempotencyConflict, JobStatus
from tailrace.api_kinds import ApiKind

LABEL: Final = "tailrace.front"
"""The label of a job that names its front, such as `openai-chat/1`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """A mapping from events to the frames of an API, and its version.

    A response may be sent again from its beginning, by another gateway, for as long as the job is kept. So the version
    is stored with the job when it is enqueued, and grows when the same events would give other frames. A gateway that
    has a newer mapping keeps the older ones for the jobs that have them.
    """

    name: str
    """The name."""
    version: int
    """The version of the mapping for new jobs."""

    @property
    def label(self) -> str:
        """The value of the job's label."""
        return f"{self.name}/{self.version}"

    def check(self, status: JobStatus) -> None:
        """Refuse a job whose frames this front cannot make.

        Args:
            status: The status of a job that was found under an idempotency key.

        Raises:
            IdempotencyConflict: The job has the mapping of another front, of a newer gateway, or none.
        """
        made = status.labels.get(LABEL)
        if made != self.label:
            raise IdempotencyConflict(
                f"The idempotency key is that of a job for {made or 'another API'}, and this request is for "
                f"{self.label}. Use another key."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """One of the APIs that the gateway speaks."""

    kind: ApiKind
    """Its kind: providers of the same kind can get requests to it verbatim."""
    translated: Front
    """The mapping for every provider: the frames are made from what the events say."""
    verbatim: Front
    """The mapping for providers of the same kind: the frames are the provider's own."""
    headers: tuple[str, ...]
    """The headers of clients that a provider gets with a verbatim request."""
    limits: tuple[str, ...]
    """The fields of a request that limit the tokens of the answer."""
