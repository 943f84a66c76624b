"""What OpenAI's Responses says: as much of it as a job carries."""

from typing import Any, Final

from msgspec import Raw, Struct

from tailrace_worker.providers.vocabulary import Vocabulary


class Fragment(Struct):
    """Of the text, or of a tool's arguments, in one of the items."""

    delta: str
    output_index: int = 0


class TextDelta(Fragment, tag="response.output_text.delta"):
    pass


class RefusalDelta(Fragment, tag="response.refusal.delta"):
    pass


class SummaryDelta(Fragment, tag="response.reasoning_summary_text.delta"):
    summary_index: int = 0


class ReasoningDelta(Fragment, tag="response.reasoning_text.delta"):
    content_index: int = 0


class ArgumentsDelta(Fragment, tag="response.function_call_arguments.delta"):
    pass


class InputDelta(Fragment, tag="response.custom_tool_call_input.delta"):
    pass


class ItemAdded(Struct, tag="response.output_item.added"):
    item: Raw
    output_index: int = 0


class ItemDone(Struct, tag="response.output_item.done"):
    item: Raw
    output_index: int = 0


class InputDetails(Struct):
    cached_tokens: int | None = None


class OutputDetails(Struct):
    reasoning_tokens: int | None = None


class Usage(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None


class IncompleteDetails(Struct):
    reason: str | None = None


class Response(Struct):
    """A whole response; at the end of a stream it says how that ended."""

    status: str | None = None
    output: list[Raw] | None = None
    usage: Usage | None = None
    incomplete_details: IncompleteDetails | None = None
    error: Any = None


class Completed(Struct, tag="response.completed"):
    response: Response


class Incomplete(Struct, tag="response.incomplete"):
    response: Response


class Failed(Struct, tag="response.failed"):
    response: Response


class Error(Struct, tag="error"):
    """Seen with the error inside, and documented with its fields beside the type."""

    error: Any = None
    code: Any = None
    message: Any = None


EVENTS: Final = Vocabulary(
    *(TextDelta, RefusalDelta, SummaryDelta, ReasoningDelta, ArgumentsDelta, InputDelta),
    *(ItemAdded, ItemDone, Completed, Incomplete, Failed, Error),
    silent=r"keepalive|response\.("
    r".*_call[._].*|mcp_list_tools\..*|(.*\.)?(created|queued|in_progress|added|done|compacting))",
)


class OutputText(Struct, tag="output_text"):
    text: str = ""


class OutputRefusal(Struct, tag="refusal"):
    refusal: str = ""


PARTS: Final = Vocabulary(OutputText, OutputRefusal)


class Message(Struct, tag="message"):
    content: list[Raw] = []


class ReasoningText(Struct):
    text: str = ""


class Reasoning(Struct, tag="reasoning"):
    id: str | None = None
    summary: list[ReasoningText] | None = None
    content: list[ReasoningText] | None = None
    encrypted_content: str | None = None


class FunctionCall(Struct, tag="function_call"):
    call_id: str
    name: str
    arguments: str = ""


class CustomToolCall(Struct, tag="custom_tool_call"):
    call_id: str
    name: str
    input: str = ""


CALLS: Final = Vocabulary(FunctionCall, CustomToolCall, silent=".*")
ITEMS: Final = Vocabulary(
    *(Message, Reasoning, FunctionCall, CustomToolCall), silent=r".*_call|.*_output|mcp_list_tools"
)
