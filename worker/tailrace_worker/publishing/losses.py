"""Why an attempt cannot write its job's stream any more."""

from tailrace_worker.cancel_scope import AttemptLost


class StreamLost(AttemptLost):
    """The stream cannot be written any more."""


class Fenced(StreamLost):
    """A later attempt has begun."""


class StreamDeleted(StreamLost):
    """The stream is not there: the job was deleted, or has expired."""
