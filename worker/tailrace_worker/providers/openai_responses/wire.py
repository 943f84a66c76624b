"""The events and objects of OpenAI's Responses, with the fields that a job needs.

A field is `Any` if no value of it may fail the answer, or if its type is decided later.
"""

from typing import Any, Final

from msgspec import Struct

from tailrace_worker.providers.json_decoder import decoder
from tailrace_worker.providers.vocabulary import Vocabulary


class Numbered(Struct):
    """Any event."""

    sequence_number: Any = None


class OfItem(Numbered):
    """An event about one item. Some servers send no index, and some send a new id of the item in each event."""

    output_index: Any = None
    item_id: Any = None
    content_index: Any = None


class Delta(OfItem):
    """A fragment of a text, or of a tool's arguments."""

    delta: str = ""


class TextDelta(Delta, tag="response.output_text.delta"):
    pass


class RefusalDelta(Delta, tag="response.refusal.delta"):
    pass


class SummaryDelta(Delta, tag="response.reasoning_summary_text.delta"):
    summary_index: Any = None


class ReasoningDelta(Delta, tag="response.reasoning_text.delta"):
    pass


class ArgumentsDelta(Delta, tag="response.function_call_arguments.delta"):
    delta: Any = None


class InputDelta(Delta, tag="response.custom_tool_call_input.delta"):
    pass


class TextDone(OfItem, tag="response.output_text.done"):
    text: str = ""


class RefusalDone(OfItem, tag="response.refusal.done"):
    refusal: str = ""


class SummaryDone(OfItem, tag="response.reasoning_summary_text.done"):
    text: str = ""
    summary_index: Any = None


class ReasoningDone(OfItem, tag="response.reasoning_text.done"):
    text: str = ""


class ArgumentsDone(OfItem, tag="response.function_call_arguments.done"):
    arguments: Any = None


class InputDone(OfItem, tag="response.custom_tool_call_input.done"):
    input: Any = None


class AnnotationAdded(OfItem, tag="response.output_text.annotation.added"):
    annotation: Any = None


class PartDone(OfItem, tag="response.content_part.done"):
    part: Any = None


class ItemAdded(Numbered, tag="response.output_item.added"):
    item: Any = None
    output_index: Any = None


class ItemDone(Numbered, tag="response.output_item.done"):
    item: Any = None
    output_index: Any = None


class Response(Struct, frozen=True):
    """A whole response. The one in the last event of a stream says how the stream ended."""

    status: Any = None
    output: Any = None
    usage: Any = None
    incomplete_details: Any = None
    error: Any = None


class Completed(Numbered, tag="response.completed"):
    response: Response = Response()


class Done(Numbered, tag="response.done"):
    """Not in OpenAI's HTTP API: the last event, with the name that it has over WebSockets."""

    response: Response = Response()


class Incomplete(Numbered, tag="response.incomplete"):
    response: Response = Response()


class Failed(Numbered, tag="response.failed"):
    response: Response = Response()


class Error(Numbered, tag="error"):
    """An error. The real API sends an object `error`; the API reference has the fields of the error beside the type."""

    error: Any = None
    code: Any = None
    message: Any = None


EVENTS: Final = Vocabulary(
    *(TextDelta, RefusalDelta, SummaryDelta, ReasoningDelta, ArgumentsDelta, InputDelta),
    *(TextDone, RefusalDone, SummaryDone, ReasoningDone, ArgumentsDone, InputDone, AnnotationAdded, PartDone),
    *(ItemAdded, ItemDone, Completed, Done, Incomplete, Failed, Error),
    silent=r"keepalive|response\.("
    r".*_call[._].*|mcp_list_tools\..*|(.*\.)?(created|queued|in_progress|added|done|compacting))",
)
decode_numbered: Final = decoder(Numbered)
decode_response: Final = decoder(Response)


class OutputText(Struct, tag="output_text"):
    text: str = ""
    annotations: Any = None


class ChatText(OutputText, tag="text"):
    """A text under the name that it has in Chat Completions."""


class OutputRefusal(Struct, tag="refusal"):
    refusal: str = ""


PARTS: Final = Vocabulary(OutputText, ChatText, OutputRefusal, silent="reasoning_text|summary_text")


class Item(Struct, kw_only=True):
    """The field that every item has."""

    id: Any = None


class Message(Item, kw_only=True, tag="message"):
    content: Any = None


class ReasoningText(Struct):
    text: str = ""


class Reasoning(Item, kw_only=True, tag="reasoning"):
    id: str | None = None
    summary: list[ReasoningText] | None = None
    content: list[ReasoningText] | None = None
    encrypted_content: str | None = None


class FunctionCall(Item, kw_only=True, tag="function_call"):
    name: Any = None
    call_id: Any = None
    arguments: Any = None


class CustomToolCall(Item, kw_only=True, tag="custom_tool_call"):
    name: Any = None
    call_id: Any = None
    input: Any = None


CALLS: Final = Vocabulary(FunctionCall, CustomToolCall, silent=".*")
ITEMS: Final = Vocabulary(
    *(Message, Reasoning, FunctionCall, CustomToolCall), silent=r".*_call|.*_output|mcp_list_tools"
)
