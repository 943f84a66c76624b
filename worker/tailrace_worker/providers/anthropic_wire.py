"""What Anthropic's Messages says: as much of it as a job carries."""

from typing import Any, Final

from msgspec import Raw, Struct

from tailrace_worker.providers.vocabulary import Vocabulary


class Text(Struct, tag="text"):
    text: str = ""


class Thinking(Struct, tag="thinking"):
    thinking: str = ""
    signature: str = ""


class RedactedThinking(Struct, tag="redacted_thinking"):
    data: str


class ToolUse(Struct, tag="tool_use"):
    id: str
    name: str
    input: dict[str, Any] | None = None


class ServerToolUse(Struct, tag="server_tool_use"):
    name: str
    input: dict[str, Any] | None = None


class McpToolUse(ServerToolUse, tag="mcp_tool_use"):
    """The same, on an MCP server."""


BLOCKS: Final = Vocabulary(
    *(Text, Thinking, RedactedThinking, ToolUse, ServerToolUse, McpToolUse),
    silent=r".*_tool_result|container_upload",
)


class TextDelta(Struct, tag="text_delta"):
    text: str


class ThinkingDelta(Struct, tag="thinking_delta"):
    thinking: str


class SignatureDelta(Struct, tag="signature_delta"):
    signature: str


class InputDelta(Struct, tag="input_json_delta"):
    partial_json: str


DELTAS: Final = Vocabulary(TextDelta, ThinkingDelta, SignatureDelta, InputDelta, silent="citations_delta")


class OutputDetails(Struct):
    thinking_tokens: int | None = None


class Usage(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens_details: OutputDetails | None = None


class StopDetails(Struct):
    explanation: str | None = None


class Stop(Struct):
    stop_reason: str | None = None
    stop_details: StopDetails | None = None


class Message(Stop, tag="message"):
    content: list[Raw] = []
    usage: Usage | None = None


class MessageStart(Struct, tag="message_start"):
    message: Message


class BlockStart(Struct, tag="content_block_start"):
    index: int
    content_block: Raw


class BlockDelta(Struct, tag="content_block_delta"):
    index: int
    delta: Raw


class BlockStop(Struct, tag="content_block_stop"):
    index: int


class MessageDelta(Struct, tag="message_delta"):
    delta: Stop
    usage: Usage | None = None


class MessageStop(Struct, tag="message_stop"):
    pass


class Error(Struct, tag="error"):
    error: Any = None


SAID: Final = Vocabulary(
    *(Message, MessageStart, BlockStart, BlockDelta, BlockStop, MessageDelta, MessageStop, Error),
    silent="ping",
)
"""The events of a stream, and a whole message."""
