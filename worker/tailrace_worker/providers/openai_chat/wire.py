"""The objects of OpenAI's Chat Completions, with the fields that a job needs.

A field is `Any` if no value of it may fail the answer. "Not OpenAI's" marks the fields of other servers.
"""

from typing import Any, Final

from msgspec import Struct

from tailrace_worker.providers.json_decoder import decoder, fitted


class Function(Struct, gc=False):
    name: str | None = None
    arguments: Any = None
    """A fragment of JSON; some servers send an object."""


class Custom(Struct, gc=False):
    name: str | None = None
    input: str | None = None


class ToolCall(Struct, gc=False):
    index: Any = None
    id: Any = None
    function: Function | None = None
    custom: Custom | None = None
    extra_content: Any = None
    """Not OpenAI's: Gemini's signature of a call. LiteLLM puts it into `provider_specific_fields`."""
    provider_specific_fields: Any = None


class Message(Struct, gc=False):
    """A delta, or a whole message."""

    content: Any = None
    """A text. Not OpenAI's: a list of parts, as Mistral sends for models that think."""
    refusal: Any = None
    annotations: Any = None
    tool_calls: list[ToolCall] | dict[str, Any] | None = None
    """A list. Not OpenAI's: one call outside a list, or calls by their numbers."""
    function_call: Function | None = None
    """The predecessor of `tool_calls`. Some servers send both."""
    reasoning_content: Any = None
    """Not OpenAI's: where DeepSeek and vLLM put the thinking. OpenRouter puts it into `reasoning`."""
    reasoning: Any = None
    reasoning_details: Any = None
    """Not OpenAI's: OpenRouter's list of reasoning blocks."""
    extra_content: Any = None
    """Not OpenAI's: Gemini's signature of a text."""

    def calls(self) -> list[ToolCall]:
        """Return the calls, in whichever form the server sent them."""
        said = self.tool_calls
        if isinstance(said, dict):
            is_one = not _CALLS_OWN.isdisjoint(said)
            return fitted([said] if is_one else list(said.values()), list[ToolCall])
        if not said and self.function_call:
            return [ToolCall(function=self.function_call)]
        return said or []


_CALLS_OWN: Final = frozenset({"id", "index", "function", "custom"})


class Choice(Struct, gc=False):
    """An answer. Only one is requested, so its index is not needed."""

    delta: Message | None = None
    message: Message | None = None
    finish_reason: Any = None
    usage: Any = None
    """Not OpenAI's: where Kimi puts the usage."""


class Completion(Struct, gc=False):
    """An event of a stream, or a whole completion."""

    choices: list[Choice] | None = None
    usage: Any = None
    error: Any = None
    object: Any = None
    citations: Any = None
    """Not OpenAI's: the addresses of the sources of Perplexity and xAI, which the text refers to by number."""
    search_results: Any = None
    """Not OpenAI's: Perplexity's sources with their titles."""
    base_resp: Any = None
    """Not OpenAI's: MiniMax's status."""


decode: Final = decoder(Completion)
