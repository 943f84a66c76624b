"""Encoders: they turn the events of a job into the frames of an HTTP protocol.

An encoder takes one event at a time and returns bytes. It uses no web framework, no clock and no connection, so the
same events become the same bytes for every client, in every process, however the events arrive.
"""

from tailrace.encoders.ai_sdk import AiSdkEncoder, SdkVersion
from tailrace.encoders.anthropic_messages import AnthropicMessagesEncoder
from tailrace.encoders.base import KEEP_ALIVE, Encoder, ReplayFrom
from tailrace.encoders.openai_chat import OpenAIChatEncoder
from tailrace.encoders.openai_responses import OpenAIResponsesEncoder
from tailrace.encoders.sse import SseEncoder, retry_line
from tailrace.encoders.sse_jobs import MAX_JOBS, JobsSseEncoder, parse_jobs_cursor
from tailrace.encoders.verbatim import VerbatimEncoder

__all__ = [
    "KEEP_ALIVE",
    "MAX_JOBS",
    "AiSdkEncoder",
    "AnthropicMessagesEncoder",
    "Encoder",
    "JobsSseEncoder",
    "OpenAIChatEncoder",
    "OpenAIResponsesEncoder",
    "ReplayFrom",
    "SdkVersion",
    "SseEncoder",
    "VerbatimEncoder",
    "parse_jobs_cursor",
    "retry_line",
]
