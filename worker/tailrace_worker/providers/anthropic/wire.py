"""The events and objects of Anthropic's Messages, with the fields that a job needs.

A field is `Any` if no value of it may fail the answer, or if its type is decided later.
"""

from typing import Any, Final

from msgspec import Struct

from tailrace_worker.providers.vocabulary import Vocabulary


class Text(Struct, tag="text"):
    text: str = ""
    citations: Any = None


class Thinking(Struct, tag="thinking"):
    thinking: str = ""
    signature: str = ""


class RedactedThinking(Struct, tag="redacted_thinking"):
    data: str = ""


class ToolUse(Struct, tag="tool_use"):
    id: Any = None
    name: Any = None
    input: Any = None


class ServerToolUse(Struct, tag="server_tool_use"):
    name: str = ""
    input: Any = None


class McpToolUse(ServerToolUse, tag="mcp_tool_use"):
    """A call of a tool of an MCP server, which the provider answers too."""


BLOCKS: Final = Vocabulary(
    *(Text, Thinking, RedactedThinking, ToolUse, ServerToolUse, McpToolUse),
    silent=r".*_tool_result|container_upload",
)


class TextDelta(Struct, tag="text_delta"):
    text: str = ""


class ThinkingDelta(Struct, tag="thinking_delta"):
    thinking: str = ""


class SignatureDelta(Struct, tag="signature_delta"):
    signature: str = ""


class InputDelta(Struct, tag="input_json_delta"):
    partial_json: Any = None
    """A fragment of JSON; some servers send an object."""


class CitationsDelta(Struct, tag="citations_delta"):
    citation: Any = None


DELTAS: Final = Vocabulary(TextDelta, ThinkingDelta, SignatureDelta, InputDelta, CitationsDelta)


class Stop(Struct, frozen=True):
    stop_reason: Any = None
    stop_details: Any = None


class Message(Stop, frozen=True, tag="message"):
    content: Any = None
    usage: Any = None


class MessageStart(Struct, tag="message_start"):
    message: Any = None


class BlockStart(Struct, tag="content_block_start"):
    content_block: Any = None
    index: Any = None


class BlockDelta(Struct, tag="content_block_delta"):
    delta: Any
    index: Any = None


class BlockStop(Struct, tag="content_block_stop"):
    index: Any = None


class MessageDelta(Struct, tag="message_delta"):
    delta: Stop = Stop()
    usage: Any = None


class MessageStop(Struct, tag="message_stop"):
    pass


class Error(Struct, tag="error"):
    error: Any = None


SAID: Final = Vocabulary(
    *(Message, MessageStart, BlockStart, BlockDelta, BlockStop, MessageDelta, MessageStop, Error),
    silent="ping",
)
"""The events of a stream, and a whole message."""
