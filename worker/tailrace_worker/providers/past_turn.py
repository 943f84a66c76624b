"""A turn of the model in the order in which it came: what a provider has signed has to stand where it stood."""

from collections.abc import Iterator
from typing import Literal, TypeAlias

from tailrace.messages import AssistantMessage, PastReasoning, PastToolCall

PastPart: TypeAlias = (
    tuple[Literal["text"], str] | tuple[Literal["reasoning"], PastReasoning] | tuple[Literal["call"], PastToolCall]
)


def in_order(message: AssistantMessage) -> Iterator[PastPart]:
    """Its parts: each block of reasoning behind as much of the text, and as many calls, as came before it."""
    text, calls = message.get("content", ""), message.get("tool_calls", [])
    told_chars = told_calls = 0
    for block in message.get("reasoning", ()):
        chars, count = block.get("after_chars", 0), block.get("after_calls", 0)
        yield from _between(text[told_chars:chars], calls[told_calls:count])
        told_chars, told_calls = max(told_chars, chars), max(told_calls, count)
        yield "reasoning", block
    yield from _between(text[told_chars:], calls[told_calls:])


def _between(text: str, calls: list[PastToolCall]) -> Iterator[PastPart]:
    if text:
        yield "text", text
    for call in calls:
        yield "call", call
