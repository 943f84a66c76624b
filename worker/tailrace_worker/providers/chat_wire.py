"""What OpenAI's Chat Completions says: as much of it as a job carries.

A field is `Any` if a server may say anything there and the answer is read all the same.
"""

from typing import Any, Final

from msgspec import Struct

from tailrace_worker.providers.json_decoder import decoder


class Function(Struct, gc=False):
    name: str | None = None
    arguments: Any = None
    """A fragment of JSON; some servers give an object."""


class Custom(Struct, gc=False):
    name: str | None = None
    input: str | None = None


class ToolCall(Struct, gc=False):
    index: Any = None
    id: Any = None
    function: Function | None = None
    custom: Custom | None = None
    extra_content: Any = None
    """Not of OpenAI: where Gemini puts the signature of a call; in LiteLLM it is `provider_specific_fields`."""
    provider_specific_fields: Any = None


class Part(Struct):
    text: str | None = None
    thinking: list["Part"] | str | None = None


class Message(Struct, gc=False):
    """What a choice says: a fragment of it, or all."""

    content: str | list[Part] | None = None
    """Not of OpenAI: parts, of which Mistral's models have one that is thinking."""
    refusal: str | None = None
    tool_calls: list[ToolCall] | ToolCall | None = None
    """Not of OpenAI: one call that is not in a list."""
    reasoning_content: Any = None
    """Not of OpenAI: where DeepSeek and vLLM put the thinking; in OpenRouter it is `reasoning`."""
    reasoning: Any = None
    reasoning_details: Any = None
    """Not of OpenAI: the blocks of the reasoning with OpenRouter, a list of objects."""
    extra_content: Any = None
    """Not of OpenAI: where Gemini puts the signature of a text."""


class Choice(Struct, gc=False):
    """The answer. Only one is asked for, so its index says nothing."""

    delta: Message | None = None
    message: Message | None = None
    finish_reason: Any = None


class Completion(Struct, gc=False):
    """A chunk of a stream, or a whole completion."""

    choices: list[Choice] | None = None
    usage: Any = None
    error: Any = None
    object: Any = None
    base_resp: Any = None
    """Not of OpenAI: MiniMax's verdict."""


class Other(Struct, gc=False):
    """What has no choices; some servers tell an error so."""

    code: Any = None
    message: Any = None


decode: Final = decoder(Completion)
decode_other: Final = decoder(Other)
