"""The conversation of a request: messages by role, and the parts of their content."""

import string
from typing import Annotated, Final, Literal, NotRequired, TypeAlias, TypeVar

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, StringConstraints, Tag, with_config
from typing_extensions import TypedDict

from tailrace.request import openai_form
from tailrace.request.validation import CLOSED, Problem, refusal

_Words: TypeAlias = Annotated[str, StringConstraints(min_length=1)]
_Count: TypeAlias = Annotated[int, Field(ge=0)]
_Id: TypeAlias = _Words
"""Of any length, because LiteLLM's ids for Gemini's calls hold a signature. Only the whole request is bounded."""

_BASE64_LETTERS: Final = (string.ascii_letters + string.digits + "+/").encode()


def _web_address(url: str) -> str:
    if not url.lower().startswith(("http://", "https://")):
        raise refusal(
            [Problem((), "is not an http:// or https:// URL: give content that you hold as `data`, in base64")]
        )
    return url


def _base64(data: str) -> str:
    if data.startswith("data:"):
        raise refusal([Problem((), "is a data URL: give only the base64 after its comma")])
    # Deleting the allowed letters takes a quarter of the time of decoding: 1.5 ms of the worker's event loop for 1 MB.
    padding = data.encode().translate(None, _BASE64_LETTERS).decode()
    if padding not in {"", "=", "=="} or not data.endswith(padding) or len(data) % 4:
        raise refusal(
            [Problem((), "is not base64: give A-Z a-z 0-9 + / on one line, padded with = to a multiple of 4")]
        )
    return data


_Url: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=8_192, pattern=r"^\S+$"), AfterValidator(_web_address)
]
_Base64: TypeAlias = Annotated[str, StringConstraints(min_length=1), AfterValidator(_base64)]


@with_config(CLOSED)
class Text(TypedDict):
    """Text, as one part of a content."""

    type: Literal["text"]
    """The kind of part."""
    text: _Words
    """The text, of at least one character."""


@with_config(CLOSED)
class Image(TypedDict):
    """An image: by its `url`, which the provider fetches, or by its `data` and `media_type`."""

    type: Literal["image"]
    """The kind of part."""
    url: NotRequired[_Url]
    """An `http://` or `https://` URL."""
    data: NotRequired[_Base64]
    """Base64 on one line. It counts against `TAILRACE_MAX_REQUEST_BYTES`."""
    media_type: NotRequired[Literal["image/png", "image/jpeg", "image/gif", "image/webp"]]
    """The format of the `data`."""


@with_config(CLOSED)
class Document(TypedDict):
    """A PDF: by its `url`, which the provider fetches (Chat Completions: none), or by its `data` and `media_type`."""

    type: Literal["document"]
    """The kind of part."""
    url: NotRequired[_Url]
    """An `http://` or `https://` URL."""
    data: NotRequired[_Base64]
    """Base64 on one line. It counts against `TAILRACE_MAX_REQUEST_BYTES`."""
    media_type: NotRequired[Literal["application/pdf"]]
    """The format of the `data`."""
    name: NotRequired[Annotated[str, StringConstraints(min_length=1, max_length=256)]]
    """The name of the file, for the model: 1 to 256 characters."""


_Source = TypeVar("_Source", Image, Document)


def _one_source(part: _Source) -> _Source:
    if ("url" in part) == ("data" in part) or ("data" in part) != ("media_type" in part):
        raise refusal([Problem((), "needs either `url`, or `data` with its `media_type`")])
    return part


_Image: TypeAlias = Annotated[Image, AfterValidator(_one_source)]
_Document: TypeAlias = Annotated[Document, AfterValidator(_one_source)]

_UserPart: TypeAlias = Annotated[Text | _Image | _Document, Discriminator("type")]
_ResultPart: TypeAlias = Annotated[Text | _Image, Discriminator("type")]


def _form(content: object) -> str | None:
    if isinstance(content, str):
        return "text"
    return "parts" if isinstance(content, list | tuple) else None


_TextOrParts = Discriminator(
    _form, custom_error_type="content", custom_error_message="Input should be a string or a list of parts"
)
_PARTS = Field(min_length=1)


@with_config(CLOSED)
class SystemMessage(TypedDict):
    """Instructions for the model. They may stand anywhere; Anthropic gets all of them as one, before the others."""

    role: Literal["system"]
    """The role of the author."""
    content: Annotated[
        Annotated[_Words, Tag("text")] | Annotated[list[Text], _PARTS, Tag("parts")],
        _TextOrParts,
    ]
    """Text, or parts of it."""


@with_config(CLOSED)
class UserMessage(TypedDict):
    """A turn of the user."""

    role: Literal["user"]
    """The role of the author."""
    content: Annotated[
        Annotated[_Words, Tag("text")] | Annotated[list[_UserPart], _PARTS, Tag("parts")],
        _TextOrParts,
    ]
    """Text, or parts: texts, images and documents."""


@with_config(CLOSED)
class PastToolCall(TypedDict):
    """A call of a tool that the model made in an earlier turn."""

    id: _Id
    """The provider's id of the call, to which the result refers."""
    name: _Words
    """The name of the tool."""
    arguments: str
    """JSON, as the model wrote it; it may be empty if the tool takes no arguments. If it is not valid JSON, because the
    answer was cut, it is sent inside an object (`{"INVALID_JSON": …}`) if a result follows; otherwise the call is
    omitted."""


@with_config(CLOSED)
class PastReasoning(TypedDict):
    """A block of the model's reasoning in an earlier turn, to be returned to the provider unchanged."""

    text: str
    """The text of the reasoning, unchanged; it may be empty."""
    signature: NotRequired[str]
    """The `signature` of the `reasoning` event that closed the block: an opaque token. With it, a provider of the same
    kind gets the block back unchanged, together with what else it signed in the turn, such as tool calls. A block
    without one is omitted."""
    after_chars: NotRequired[_Count]
    """How many characters of the `content` came before the block."""
    after_calls: NotRequired[_Count]
    """How many of the `tool_calls` came before the block."""


@with_config(CLOSED)
class AssistantMessage(TypedDict):
    """A turn of the model, with text, tool calls, reasoning, or all of these. An empty one is not sent."""

    role: Literal["assistant"]
    """The role of the author."""
    content: NotRequired[str]
    """The text of the answer."""
    tool_calls: NotRequired[list[PastToolCall]]
    """The calls that the model made. Each has its result in a later message of the role `tool`."""
    reasoning: NotRequired[list[PastReasoning]]
    """The blocks of the model's reasoning, in their order."""


@with_config(CLOSED)
class ToolMessage(TypedDict):
    """The result of a tool, after the message that called it. Chat Completions accepts only text."""

    role: Literal["tool"]
    """The role of the author."""
    tool_call_id: _Id
    """The `id` of the call, in a message of the role `assistant` before this one."""
    content: Annotated[
        Annotated[str, Tag("text")] | Annotated[list[_ResultPart], _PARTS, Tag("parts")],
        _TextOrParts,
    ]
    """Text, which may be empty, or parts: texts and images."""
    is_error: NotRequired[bool]
    """True if the tool failed. OpenAI has no field for it: say it in the content too."""


Message: TypeAlias = SystemMessage | UserMessage | AssistantMessage | ToolMessage
"""One turn of the conversation."""


def says_something(message: Message) -> bool:
    """Return true if a message has content. An empty answer may be part of a conversation, but is not sent."""
    return message["role"] != "assistant" or any(
        (message.get("content"), message.get("tool_calls"), message.get("reasoning"))
    )


def _in_order(messages: list[Message]) -> list[Message]:
    called: set[str] = set()
    problems: list[Problem] = []
    for index, message in enumerate(messages):
        if message["role"] == "assistant":
            called.update(call["id"] for call in message.get("tool_calls", ()))
        elif message["role"] == "tool" and message["tool_call_id"] not in called:
            problems.append(
                Problem((index, "tool_call_id"), "no assistant message before it has a tool call with this id")
            )
    if not any(map(says_something, messages)):
        problems.append(Problem((), "no message has content"))
    if problems:
        raise refusal(problems)
    return messages


Messages: TypeAlias = Annotated[
    list[Annotated[Message, Discriminator("role"), BeforeValidator(openai_form.message)]],
    Field(min_length=1),
    AfterValidator(_in_order),
]
"""Messages, oldest first."""
