"""The errors of tailrace, as one tree, by who must act.

`CallerError`: change the call. `InfrastructureError`: Redis or the network is at fault; the call was right and may be
repeated. `ProviderError`: the provider refused or broke. Only workers raise it: a service reads the `failed` event.
"""

from enum import StrEnum


class TailraceError(Exception):
    """The root of every error that tailrace raises on purpose."""


class CallerError(TailraceError):
    """The call cannot succeed as it stands; the message says what to change."""


class InvalidSettings(CallerError):
    """A setting has a value that is out of its rule."""


class InvalidRequest(CallerError):
    """A generation request that no provider could run."""


class NewerRequest(InvalidRequest):
    """A stored request says something that this version does not know."""


class RequestTooLarge(InvalidRequest):
    """The request's JSON is larger than `TAILRACE_MAX_REQUEST_BYTES`."""


class InvalidJobId(CallerError):
    """Not a job id: ids are 16 to 64 characters of `A-Z a-z 0-9 _ -`."""


class InvalidCursor(CallerError):
    """Not a position in a stream: cursors are written `ATTEMPT-SEQ`, such as `1-17`."""


class JobNotFound(CallerError):
    """The job was never enqueued, was deleted, or its time to keep has passed."""


class IdempotencyConflict(CallerError):
    """The idempotency key was used before, by the same tenant, for another request."""


class ProviderError(TailraceError):
    """A provider refused the request or broke off.

    It is raised inside a worker, by what calls a provider, and by no call of a service: the job ends with a `failed`
    event, whose `code`, `message` and `retryable` are those of the error.

    `code` is what the stream's `failed` says. `retryable` tells whether the same request may succeed later, and
    `retry_after_seconds` when, where the provider said so. By `request_id` the provider finds the call in its logs.
    """

    def __init__(
        self,
        message: str,
        *,
        code: "FailureCode",
        retryable: bool,
        retry_after_seconds: float | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable
        self.retry_after_seconds = retry_after_seconds
        self.request_id = request_id


class InfrastructureError(TailraceError):
    """Something between the caller and the job is broken; nothing is wrong with the call."""


class BrokerUnavailable(InfrastructureError):
    """Redis cannot be reached, does not answer in time, or takes no commands now: it loads, fails over or is busy."""

    def __init__(self, message: str, *, cursor: str | None = None) -> None:
        super().__init__(message)
        self.cursor = cursor
        """Where a tail that gave up has come to: `tail(after=cursor)` goes on from there."""


class BrokerRefused(InfrastructureError):
    """Redis answered, and would not do it: out of memory, no permission."""


class NotDurable(InfrastructureError):
    """Redis has taken the job, and did not write it to a disk or a replica in time: a crash of Redis may lose it.

    Or one has lost it, as the message says then.
    """


class CredentialsRefused(BrokerRefused):
    """Redis does not accept the user or password. While these are rotated it may, a moment later."""


class QueueFull(InfrastructureError):
    """As many jobs wait in the queue as may; nothing of the job was kept."""

    def __init__(self, queue: str, *, depth: int, limit: int) -> None:
        super().__init__(f"Queue {queue!r} is full: {depth:,} jobs wait, and the limit is {limit:,}. Try again later.")
        self.queue = queue
        self.depth = depth
        self.limit = limit


class FailureCode(StrEnum):
    """Why a job failed: the closed list of what `code` in a `failed` event can be."""

    PROVIDER_NOT_CONFIGURED = "provider_not_configured"
    """The worker has no key for the provider, or cannot make its client."""
    PROVIDER_AUTHENTICATION = "provider_authentication"
    """The provider knows the key not, or does not let it do this."""
    PROVIDER_REJECTED = "provider_rejected"
    """The provider finds the request at fault."""
    MODEL_NOT_FOUND = "model_not_found"
    PROVIDER_RATE_LIMITED = "provider_rate_limited"
    PROVIDER_QUOTA_EXCEEDED = "provider_quota_exceeded"
    PROVIDER_OVERLOADED = "provider_overloaded"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    """The provider could not be reached, or answered with a server error."""
    PROVIDER_INTERRUPTED = "provider_interrupted"
    """The stream broke off: a cut connection, or a clean end without the provider's own last word."""
    PROVIDER_MALFORMED = "provider_malformed"
    """The provider sent something that is not of its protocol."""
    FIRST_TOKEN_TIMEOUT = "first_token_timeout"  # noqa: S105
    """The provider said nothing for longer than it may."""
    IDLE_TIMEOUT = "idle_timeout"
    """It fell silent in mid-answer, or before its last word."""
    TOTAL_TIMEOUT = "total_timeout"
    CONTENT_BLOCKED = "content_blocked"
    """A guard of the request did not let the text through."""
    TOO_LONG = "too_long"
    """The answer has more bytes than the worker's `TAILRACE_MAX_ANSWER_BYTES`. The text so far stays."""
    EXPIRED_IN_QUEUE = "expired_in_queue"
    """It waited longer than it was allowed to; no provider was called."""
    WORKER_LOST = "worker_lost"
    """As many workers died under the job as it has attempts."""
    INVALID_REQUEST = "invalid_request"
    """The stored request no longer validates."""
    INVALID_BODY = "invalid_body"
    """The job's body in arq is unreadable, or names a function that the workers do not have."""
    INTERNAL_ERROR = "internal_error"
    """A defect of tailrace itself; the worker's log has the traceback."""
