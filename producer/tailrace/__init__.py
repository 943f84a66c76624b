"""LLM generations that outlive the web request: enqueue them, tail them from anywhere, cancel them.

Each name is loaded at its first use, so that the import itself costs almost nothing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tailrace.access.access import Access
    from tailrace.access.api_key import ApiKey, KeyLimits, NewApiKey
    from tailrace.access.api_keys import ApiKeys
    from tailrace.answer import Answer, Snapshot, Usage
    from tailrace.attempt_content import CalledTool
    from tailrace.client import Tailrace
    from tailrace.conversation import Conversation
    from tailrace.cursor import EntryId
    from tailrace.errors import (
        BrokerRefused,
        BrokerUnavailable,
        CallerError,
        ConversationBusy,
        FailureCode,
        IdempotencyConflict,
        InfrastructureError,
        InvalidCursor,
        InvalidJobId,
        InvalidRequest,
        InvalidSettings,
        JobNotFound,
        NotDurable,
        ProviderError,
        QueueFull,
        RequestTooLarge,
        TailraceError,
    )
    from tailrace.event_schema import event_json_schema
    from tailrace.events import (
        Box,
        Cancelled,
        Citation,
        Completed,
        Delta,
        Ending,
        Event,
        Failed,
        FinishReason,
        Frames,
        Gap,
        KeepAlive,
        Notice,
        Queued,
        Reasoning,
        Refusal,
        Started,
        ToolCall,
    )
    from tailrace.job import Job
    from tailrace.protocol.cancellation import CancelOutcome
    from tailrace.protocol.endings import JobEnding
    from tailrace.protocol.fleet import Fleet, QueueStatus, WorkerStatus
    from tailrace.request.fallback import Fallback
    from tailrace.request.generation_request import GenerationRequest
    from tailrace.request.guards import Block, Clean, Guard, MaxChars, Moderate, Redact
    from tailrace.request.limits import Buffering, Timeouts
    from tailrace.request.messages import (
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
    from tailrace.request.tools import OutputSchema, Tool, ToolChoice, ToolName
    from tailrace.request.verbatim_request import VerbatimRequest
    from tailrace.settings import Settings
    from tailrace.status import JobState, JobStatus
    from tailrace.tailing.tail import Tail
    from tailrace.timing import Timing, Verdict

    __version__: str
    """The version of the installed package."""
else:
    from importlib import import_module

    # Lower layers first, so that a name is looked for in what its own module imports anyway.
    _MODULES = (
        *("errors", "cursor", "events", "event_schema", "settings"),
        *("request.messages", "request.limits", "request.tools", "request.guards", "request.generation_request"),
        "request.verbatim_request",
        *("timing", "protocol.cancellation", "protocol.endings", "protocol.fleet"),
        *("attempt_content", "answer", "status", "tailing.tail", "job", "conversation"),
        *("access.api_key", "access.api_keys", "access.access", "client"),
    )

    def __getattr__(name: str) -> object:
        if name in __all__:
            for module in _MODULES:
                found = vars(import_module(f"tailrace.{module}"))
                if name in found:
                    return globals().setdefault(name, found[name])
        if name == "__version__":
            # Reading the metadata takes several times as long as the import of this module.
            from importlib.metadata import version  # noqa: PLC0415

            return globals().setdefault(name, version("tailrace"))
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__, "__version__"})


__all__ = [
    "Access",
    "Answer",
    "ApiKey",
    "ApiKeys",
    "AssistantMessage",
    "Block",
    "Box",
    "BrokerRefused",
    "BrokerUnavailable",
    "Buffering",
    "CalledTool",
    "CallerError",
    "CancelOutcome",
    "Cancelled",
    "Citation",
    "Clean",
    "Completed",
    "Conversation",
    "ConversationBusy",
    "Delta",
    "Document",
    "Ending",
    "EntryId",
    "Event",
    "Failed",
    "FailureCode",
    "Fallback",
    "FinishReason",
    "Fleet",
    "Frames",
    "Gap",
    "GenerationRequest",
    "Guard",
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
    "KeepAlive",
    "KeyLimits",
    "MaxChars",
    "Message",
    "Moderate",
    "NewApiKey",
    "NotDurable",
    "Notice",
    "OutputSchema",
    "PastReasoning",
    "PastToolCall",
    "ProviderError",
    "QueueFull",
    "QueueStatus",
    "Queued",
    "Reasoning",
    "Redact",
    "Refusal",
    "RequestTooLarge",
    "Settings",
    "Snapshot",
    "Started",
    "SystemMessage",
    "Tail",
    "Tailrace",
    "TailraceError",
    "Text",
    "Timeouts",
    "Timing",
    "Tool",
    "ToolCall",
    "ToolChoice",
    "ToolMessage",
    "ToolName",
    "Usage",
    "UserMessage",
    "VerbatimRequest",
    "Verdict",
    "WorkerStatus",
    "event_json_schema",
]
