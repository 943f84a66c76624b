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
from tailrace.messages import (
    AssistantMessage,
    Document,
    Image,
    Message,
    PastReasoning,
    PastToolCall,
    SystemMessage,
    Text,
    ToolMessage,
    UserMessage,
)
from tailrace.request import Fallback, GenerationRequest
from tailrace.settings import Settings
from tailrace.shaping import Buffering, Timeouts
from tailrace.tools import OutputSchema, Tool, ToolChoice, ToolName

__all__ = [
    "Answer",
    "AssistantMessage",
    "BrokerRefused",
    "BrokerUnavailable",
    "Buffering",
    "CalledTool",
    "CallerError",
    "CancelOutcome",
    "Document",
    "EntryId",
    "Event",
    "FailureCode",
    "Fallback",
    "Fleet",
    "GenerationRequest",
    "IdempotencyConflict",
    "Image",
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
    "OutputSchema",
    "PastReasoning",
    "PastToolCall",
    "ProviderError",
    "QueueFull",
    "QueueStatus",
    "RequestTooLarge",
    "Settings",
    "SystemMessage",
    "Tailrace",
    "TailraceError",
    "Text",
    "Timeouts",
    "Tool",
    "ToolChoice",
    "ToolMessage",
    "ToolName",
    "UserMessage",
    "WorkerStatus",
]
