"""What OpenAI's Chat Completions says: as much of it as a job carries."""

from typing import Any, Final

from msgspec import Struct

from tailrace_worker.providers.json_decoder import decoder


class Function(Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class Custom(Struct, gc=False):
    name: str | None = None
    input: str | None = None


class ToolCall(Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: Function | None = None
    custom: Custom | None = None


class Part(Struct):
    text: str | None = None
    thinking: list["Part"] | None = None


class Message(Struct, gc=False):
    """What a choice says: a fragment of it, or all."""

    content: str | list[Part] | None = None
    """Not of OpenAI: parts, of which Mistral's models have one that is thinking."""
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    reasoning_content: str | None = None
    """Not of OpenAI: where DeepSeek and vLLM put the thinking; in OpenRouter it is `reasoning`."""
    reasoning: str | None = None


class Choice(Struct, gc=False):
    index: int = 0
    delta: Message | None = None
    message: Message | None = None
    finish_reason: str | None = None


class InputDetails(Struct, gc=False):
    cached_tokens: int | None = None


class OutputDetails(Struct, gc=False):
    reasoning_tokens: int | None = None


class Usage(Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None


class Completion(Struct, gc=False):
    """A chunk of a stream, or a whole completion."""

    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: Any = None


class Other(Struct, gc=False):
    """What has no choices; some servers tell an error so."""

    object: str = ""
    code: Any = None
    message: Any = None


decode: Final = decoder(Completion)
decode_other: Final = decoder(Other)
