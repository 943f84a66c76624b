"""LLM generations that outlive the web request: enqueue them, tail them from anywhere, cancel them."""

from tailrace.answer import Answer, CalledTool
from tailrace.attempts import CancelOutcome
from tailrace.client import Tailrace
from tailrace.endings import JobEnding
from tailrace.errors import (
    BrokerRefused,
    BrokerUnavailable,
    CallerError,
    FailureCode,
    IdempotencyConflict,
    InfrastructureError,
    InvalidCursor,
    InvalidJobId,
    InvalidRequest,
    InvalidSettings,
    JobNotFound,
    ProviderError,
    QueueFull,
    RequestTooLarge,
    TailraceError,
)
from tailrace.events import Event
from tailrace.fleet import Fleet, QueueStatus, WorkerStatus
from tailrace.job import Job, JobState, JobStatus
from tailrace.keys import EntryId
from tailrace.request import GenerationRequest, Message
from tailrace.settings import Settings

__all__ = [
    "Answer",
    "BrokerRefused",
    "BrokerUnavailable",
    "CalledTool",
    "CallerError",
    "CancelOutcome",
    "EntryId",
    "Event",
    "FailureCode",
    "Fleet",
    "GenerationRequest",
    "IdempotencyConflict",
    "InfrastructureError",
    "InvalidCursor",
    "InvalidJobId",
    "InvalidRequest",
    "InvalidSettings",
    "Job",
    "JobEnding",
    "JobNotFound",
    "JobState",
    "JobStatus",
    "Message",
    "ProviderError",
    "QueueFull",
    "QueueStatus",
    "RequestTooLarge",
    "Settings",
    "Tailrace",
    "TailraceError",
    "WorkerStatus",
]
