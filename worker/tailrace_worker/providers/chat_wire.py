"""What OpenAI's Chat Completions says: as much of it as a job carries.

A field is `Any` if a server may say anything there and the answer is read all the same.
"""

from typing import Any, Final

from msgspec import Struct

from tailrace_worker.providers.json_decoder import decoder, fitted


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


class Message(Struct, gc=False):
    """What a choice says: a fragment of it, or all."""

    content: Any = None
    """A text. Not of OpenAI: parts, of which Mistral's models have one that is thinking."""
    refusal: Any = None
    tool_calls: list[ToolCall] | dict[str, Any] | None = None
    """Not of OpenAI: one call that is not in a list, or calls by their numbers."""
    function_call: Function | None = None
    """What OpenAI had before `tool_calls`. Some servers send both."""
    reasoning_content: Any = None
    """Not of OpenAI: where DeepSeek and vLLM put the thinking; in OpenRouter it is `reasoning`."""
    reasoning: Any = None
    reasoning_details: Any = None
    """Not of OpenAI: the blocks of the reasoning with OpenRouter, a list of objects."""
    extra_content: Any = None
    """Not of OpenAI: where Gemini puts the signature of a text."""

    def calls(self) -> list[ToolCall]:
        """Return the calls, in whichever form they come."""
        said = self.tool_calls
        if isinstance(said, dict):
            is_one = not _CALLS_OWN.isdisjoint(said)
            return fitted([said] if is_one else list(said.values()), list[ToolCall])
        if not said and self.function_call:
            return [ToolCall(function=self.function_call)]
        return said or []


_CALLS_OWN: Final = frozenset({"id", "index", "function", "custom"})


class Choice(Struct, gc=False):
    """The answer. Only one is asked for, so its index says nothing."""

    delta: Message | None = None
    message: Message | None = None
    finish_reason: Any = None
    usage: Any = None
    """Not of OpenAI: where Kimi puts it."""


class Completion(Struct, gc=False):
    """A chunk of a stream, or a whole completion."""

    choices: list[Choice] | None = None
    usage: Any = None
    error: Any = None
    object: Any = None
    base_resp: Any = None
    """Not of OpenAI: MiniMax's verdict."""


decode: Final = decoder(Completion)
