"""An earlier assistant turn as a request sends it back: its parts in order, and only calls that providers accept."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, Literal, NamedTuple, TypeAlias, cast

from pydantic_core import from_json

from tailrace.request.messages import AssistantMessage, Message, PastReasoning, PastToolCall
from tailrace_worker.providers.http.call import Body

_INVALID: Final = "INVALID_JSON"
"""The key for arguments that are not JSON, as in Anthropic's documentation of fine-grained tool streaming."""


class SentCall(NamedTuple):
    """A tool call as a request sends it."""

    number: int
    """Its index among the calls of the message."""
    id: str
    name: str
    arguments: str
    """JSON."""
    value: object
    """The value of `arguments`."""

    @property
    def as_object(self) -> Mapping[str, Any]:
        """The arguments for a provider that takes only an object."""
        value = self.value
        return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {_INVALID: self.arguments}


PastPart: TypeAlias = tuple[Literal["text"], str] | tuple[Literal["reasoning"], Body] | tuple[Literal["call"], SentCall]
GiveBack: TypeAlias = Callable[[PastReasoning], Body | None]
"""Converts a block of reasoning to the provider's form; `None` if the block is not one of that provider."""


def answered_calls(messages: Sequence[Message]) -> list[AbstractSet[str]]:
    """Return, for each message, the ids of those of its calls that have a result in a later message."""
    results: set[str] = set()
    answered: list[AbstractSet[str]] = []
    for message in reversed(messages):
        if message["role"] == "tool":
            results.add(message["tool_call_id"])
        calls = message.get("tool_calls", ()) if message["role"] == "assistant" else ()
        answered.append(results & {call["id"] for call in calls})
        # An earlier call with the same id needs its own result.
        results -= answered[-1]
    return answered[::-1]


def sent_calls(message: AssistantMessage, answered: AbstractSet[str]) -> list[SentCall]:
    """Return the calls of a message that are sent.

    No provider accepts a call that has neither valid JSON nor a result, so a call with cut arguments is sent only if it
    has a result.

    Args:
        message: The message.
        answered: The ids of its calls that have results.
    """
    return [call for call in _calls(message, answered) if call]


def in_order(message: AssistantMessage, answered: AbstractSet[str], give_back: GiveBack) -> Iterator[PastPart]:
    """Yield the parts of a message, each block of reasoning after the text and the calls that came before it.

    If a call is left out, the reasoning that led to it is left out too, because Responses rejects reasoning without the
    item that follows it.

    Args:
        message: The message.
        answered: The ids of its calls that have results.
        give_back: Converts a block of reasoning to the provider's form.
    """
    reasoning: list[PastPart] = []
    for part in _parts(message, answered, give_back):
        if part is None:
            reasoning.clear()
        elif part[0] == "reasoning":
            reasoning.append(part)
        else:
            yield from reasoning
            reasoning.clear()
            yield part
    yield from reasoning


def fitting_id(call_id: str, allowed: re.Pattern[str]) -> str:
    """Return a call's id, or a hash of it if the provider does not accept the id. Its result gets the same hash.

    Args:
        call_id: The id.
        allowed: The pattern of the ids that the provider accepts.
    """
    if allowed.fullmatch(call_id):
        return call_id
    return f"call_{hashlib.blake2s(call_id.encode(), digest_size=16).hexdigest()}"


def _parts(message: AssistantMessage, answered: AbstractSet[str], give_back: GiveBack) -> Iterator[PastPart | None]:
    """Yield the parts of a message, and `None` in place of a call that is left out."""
    text, calls = message.get("content", ""), _calls(message, answered)
    told_chars = told_calls = 0
    for block in message.get("reasoning", ()):
        if (given := give_back(block)) is None:
            continue
        chars, count = block.get("after_chars", 0), block.get("after_calls", 0)
        yield from _between(text[told_chars:chars], calls[told_calls:count])
        told_chars, told_calls = max(told_chars, chars), max(told_calls, count)
        yield "reasoning", given
    yield from _between(text[told_chars:], calls[told_calls:])


def _between(text: str, calls: list[SentCall | None]) -> Iterator[PastPart | None]:
    if text:
        yield "text", text
    for call in calls:
        yield ("call", call) if call else None


def _calls(message: AssistantMessage, answered: AbstractSet[str]) -> list[SentCall | None]:
    return [_sent(number, call, answered) for number, call in enumerate(message.get("tool_calls", ()))]


def _sent(number: int, call: PastToolCall, answered: AbstractSet[str]) -> SentCall | None:
    arguments = call["arguments"] if call["arguments"].strip() else "{}"
    try:
        value = from_json(arguments, allow_inf_nan=False)
        # A number that is too large for a float has become infinite, which JSON cannot express.
        json.dumps(value, allow_nan=False)
    except ValueError:
        if call["id"] not in answered:
            return None
        value = {_INVALID: arguments}
        arguments = json.dumps(value, ensure_ascii=False)
    return SentCall(number, call["id"], call["name"], arguments, value)
