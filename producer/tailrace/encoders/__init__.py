"""Encoders: the events of a job become the frames of an HTTP protocol.

An encoder takes one event at a time and gives bytes. It knows no web framework, no clock and no connection: the same
events give the same bytes for every reader, in every process, however they arrive.
"""

from tailrace.encoders.ai_sdk import AiSdkEncoder, SdkVersion
from tailrace.encoders.anthropic_messages import AnthropicMessagesEncoder
from tailrace.encoders.base import KEEP_ALIVE, Encoder, ReplayFrom
from tailrace.encoders.openai_chat import OpenAIChatEncoder
from tailrace.encoders.openai_responses import OpenAIResponsesEncoder
from tailrace.encoders.sse import SseEncoder, retry_line
from tailrace.encoders.sse_jobs import MAX_JOBS, JobsSseEncoder, parse_jobs_cursor

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
    "parse_jobs_cursor",
    "retry_line",
]
