"""The reasons for which an attempt can no longer write to its job's stream."""

from tailrace_worker.cancel_scope import AttemptLost


class StreamLost(AttemptLost):
    """The attempt can no longer write to the stream."""


class Fenced(StreamLost):
    """A later attempt at the job has begun."""


class StreamDeleted(StreamLost):
    """The stream does not exist: the job was deleted, or has expired."""
