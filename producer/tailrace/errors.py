"""The errors of tailrace: one tree, divided by who must act.

`CallerError`: the caller must change the call. `InfrastructureError`: Redis or the network is at fault; the call was
correct and may be repeated. `ProviderError`: the provider rejected the request or failed. Only workers raise it: a
service reads the `failed` event.
"""

from enum import StrEnum


class TailraceError(Exception):
    """The base class of every error that tailrace raises on purpose."""


class CallerError(TailraceError):
    """The call cannot succeed unless it is changed; the message says how."""


class InvalidSettings(CallerError):
    """A setting has a value that is not allowed, or there is no setting of that name."""


class InvalidRequest(CallerError):
    """An argument of the call, or a field of its generation request, is not valid."""


class NewerRequest(InvalidRequest):
    """A stored request has fields or values that this version does not know: a newer version enqueued it."""


class RequestTooLarge(InvalidRequest):
    """The JSON of the request is larger than `TAILRACE_MAX_REQUEST_BYTES`."""


class InvalidJobId(CallerError):
    """The text is not a job id. Ids have 16 to 64 characters of `A-Z a-z 0-9 _ -`."""


class InvalidCursor(CallerError):
    """The text is not a cursor, or the cursor is ahead of the stream. Cursors have the form `ATTEMPT-SEQ`: `1-17`."""


class JobNotFound(CallerError):
    """The job was never enqueued, was deleted, or has expired: jobs are kept for a limited time after their ending."""


class IdempotencyConflict(CallerError):
    """The tenant used the idempotency key before, for another request or conversation."""


class ConversationBusy(CallerError):
    """Another job of the conversation is active; the new job was not enqueued.

    Wait for the ending of that job, or enqueue with `if_active="interrupt"`.

    Args:
        conversation: The id of the conversation.
        job_id: The id of the active job.
    """

    def __init__(self, conversation: str, job_id: str) -> None:
        super().__init__(
            f"Conversation {conversation!r} has an active job, {job_id!r}. Wait for its ending, or interrupt it."
        )
        self.conversation = conversation
        self.job_id = job_id
        """The id of the active job, which can be tailed and cancelled."""


class ProviderError(TailraceError):
    """A provider rejected the request, or its answer broke off.

    It is raised only inside workers, where a provider is called, and by no call of a service: the job ends with a
    `failed` event that has the `code`, `message` and `retryable` of the error.

    Args:
        message: What happened, for a person.
        code: The `code` of the `failed` event.
        retryable: True if the same request may succeed later.
        retry_after_seconds: In how many seconds it may succeed, if the provider said so.
        request_id: The id by which the provider finds the call in its logs, if it gave one.

    Attributes:
        raw: The frames in which the provider of a verbatim request has sent the error, if it did.
    """

    raw: bytes | None = None

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
    """Redis or the network is at fault; the call was correct and may be repeated."""


class BrokerUnavailable(InfrastructureError):
    """Redis cannot be reached, does not reply in time, or takes no commands now: it loads, fails over or is busy.

    Args:
        message: What happened, for a person.
        cursor: The cursor of a tail that gave up.
    """

    def __init__(self, message: str, *, cursor: str | None = None) -> None:
        super().__init__(message)
        self.cursor = cursor
        """The last event that a tail read before it gave up: `tail(after=cursor)` goes on from there."""


class BrokerRefused(InfrastructureError):
    """Redis replied with a refusal, for example because it is out of memory or the user lacks a permission."""


class NotDurable(InfrastructureError):
    """Redis has the job, but did not write it to a disk or a replica in time: a crash of Redis may lose it.

    The message says if a crash or a failover has lost the job already.
    """


class CredentialsRefused(BrokerRefused):
    """Redis rejected the user or the password. While a password is being rotated, a retry may succeed."""


class QueueFull(InfrastructureError):
    """The queue has no room for the job, which was not enqueued.

    Args:
        queue: The name of the queue.
        depth: How many jobs wait in the queue.
        limit: The `max_queued` of the settings.
    """

    def __init__(self, queue: str, *, depth: int, limit: int) -> None:
        super().__init__(f"Queue {queue!r} is full: {depth:,} jobs wait, and the limit is {limit:,}. Try again later.")
        self.queue = queue
        self.depth = depth
        self.limit = limit


class FailureCode(StrEnum):
    """Why a job failed: the closed list of the values of `code` in a `failed` event."""

    PROVIDER_NOT_CONFIGURED = "provider_not_configured"
    """The worker has no API key for the provider, or its client for the provider cannot be made."""
    PROVIDER_AUTHENTICATION = "provider_authentication"
    """The provider rejected the API key, or the key lacks permission."""
    PROVIDER_REJECTED = "provider_rejected"
    """The provider rejected the request as invalid."""
    MODEL_NOT_FOUND = "model_not_found"
    """The provider has no model of this name, or the API key may not use it."""
    PROVIDER_RATE_LIMITED = "provider_rate_limited"
    """The provider limits the rate of calls or tokens. A later attempt may succeed."""
    PROVIDER_QUOTA_EXCEEDED = "provider_quota_exceeded"
    """The balance or the quota of the provider account is used up. A retry does not help."""
    PROVIDER_OVERLOADED = "provider_overloaded"
    """The provider is overloaded. A later attempt may succeed."""
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    """The provider could not be reached, or answered with a server error."""
    PROVIDER_INTERRUPTED = "provider_interrupted"
    """The answer broke off: the connection was cut, or closed without the provider's end of the answer."""
    PROVIDER_MALFORMED = "provider_malformed"
    """The provider sent something that does not conform to its protocol."""
    FIRST_TOKEN_TIMEOUT = "first_token_timeout"  # noqa: S105
    """The provider sent no token within `first_token_seconds`."""
    IDLE_TIMEOUT = "idle_timeout"
    """The provider was silent for `idle_seconds` in the middle of the answer."""
    TOTAL_TIMEOUT = "total_timeout"
    """The attempt took longer than `total_seconds`."""
    CONTENT_BLOCKED = "content_blocked"
    """A guard of the request blocked the text."""
    TOO_LONG = "too_long"
    """The answer has more bytes than the worker's `TAILRACE_MAX_ANSWER_BYTES`. The text up to there stays."""
    EXPIRED_IN_QUEUE = "expired_in_queue"
    """The job waited for a worker longer than its `expires_in_seconds`; no provider was called."""
    WORKER_LOST = "worker_lost"
    """`TAILRACE_MAX_ATTEMPTS` workers were lost while they ran the job."""
    INVALID_REQUEST = "invalid_request"
    """The stored request is not valid."""
    INVALID_BODY = "invalid_body"
    """The job's body in arq cannot be read, or names a function that the workers do not have."""
    INTERNAL_ERROR = "internal_error"
    """tailrace itself has a defect; the worker's log has the traceback."""
