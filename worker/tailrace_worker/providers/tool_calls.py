"""Tool calls. A call that the caller has to answer gets a number; a call that the provider answers becomes a notice."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

import msgspec

from tailrace.events import Notice, ToolCall
from tailrace_worker.providers.fragments import Arguments
from tailrace_worker.providers.json_decoder import encoded

MAX_TOOL_CALLS: Final = 1_024
"""How many calls one answer may have. This limits the memory that an endless answer can take."""

_MAX_WORDS: Final = 300


@dataclass(slots=True, eq=False)
class Call:
    """One tool call, as far as it has arrived."""

    index: int
    call_id: str | None = None
    name: str | None = None
    is_json: bool = True
    """True if the arguments are JSON. A custom tool of OpenAI's takes text."""
    arguments: Arguments = field(default_factory=Arguments)

    def named(self, call_id: str | None, name: str | None) -> Iterator[ToolCall]:
        """Take the id and the name, and yield those that are new."""
        new_id = call_id if call_id and not self.call_id else None
        new_name = name if name and not self.name else None
        self.call_id, self.name = self.call_id or call_id, self.name or name
        if new_id or new_name:
            yield ToolCall(index=self.index, call_id=new_id, name=new_name)

    def fragment(self, arguments: object) -> Iterator[ToolCall]:
        """Take a fragment of the arguments, and yield it.

        Args:
            arguments: Text, or an object, which some servers send.
        """
        if text := self.arguments.add(as_text(arguments)):
            yield ToolCall(index=self.index, arguments=text)

    def whole(self, arguments: object) -> Iterator[ToolCall]:
        """Take the whole arguments, and yield the part that the fragments did not have.

        Args:
            arguments: Text, or an object, which some servers send.

        Raises:
            Differs: The fragments belong to other arguments.
        """
        text = as_text(arguments)
        if text and self.arguments.is_complete and value_of(text) == value_of(str(self.arguments)):
            return
        if rest := self.arguments.rest(text):
            yield ToolCall(index=self.index, arguments=rest)

    def end(self, generated_id: str) -> Iterator[ToolCall]:
        """Yield what a caller needs and the provider did not send: an id for the result, and the arguments `{}`.

        Args:
            generated_id: The id to use if the provider sent none.
        """
        yield from self.named(generated_id, None)
        if text := self.arguments.end() or ("{}" if self.is_json and self.arguments.is_blank else ""):
            yield from self.fragment(text)


class ToolCalls:
    """The calls of one answer, numbered from 0 on, in the order in which they begin."""

    def __init__(self, past_calls: int = 0) -> None:
        """Begin an answer.

        Args:
            past_calls: How many calls the earlier turns had. Generated ids are numbered after them.
        """
        self._calls: list[Call] = []
        self._past_calls = past_calls

    def __iter__(self) -> Iterator[Call]:
        return iter(self._calls)

    def __len__(self) -> int:
        return len(self._calls)

    def of_id(self, call_id: str | None) -> Call | None:
        """Return the call with an id, or `None` if there is none."""
        return next((call for call in self._calls if call.call_id == call_id), None) if call_id else None

    def at(self, index: int) -> Call | None:
        """Return the call with a number, or `None` if there is none. -1 is the last call."""
        return self._calls[index] if -len(self._calls) <= index < len(self._calls) else None

    def begin(self, *, is_json: bool = True) -> Call:
        """Begin a call.

        Args:
            is_json: True if its arguments are JSON.

        Raises:
            ValueError: There are more than `MAX_TOOL_CALLS`.
        """
        if len(self._calls) == MAX_TOOL_CALLS:
            raise ValueError(f"The answer has more than {MAX_TOOL_CALLS:,} tool calls.")
        self._calls.append(Call(len(self._calls), is_json=is_json))
        return self._calls[-1]

    @property
    def are_complete(self) -> bool:
        """True if there are calls, and the arguments of none of them were cut."""
        return bool(self._calls) and all(
            call.arguments.is_complete or call.arguments.is_blank or not call.is_json for call in self._calls
        )

    def end(self) -> Iterator[ToolCall]:
        """Yield the missing parts of all calls once the answer has ended."""
        taken = {call.call_id for call in self._calls}
        for call in self._calls:
            generated = f"call_{self._past_calls + call.index}"
            yield from call.end(f"{generated}_" if generated in taken else generated)


def as_text(arguments: object) -> str:
    """Return arguments as the text that readers get."""
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else encoded(arguments)


def server_tool(name: str, said: object) -> Notice:
    """Return a notice about a call that the provider answers itself.

    Args:
        name: The name of the tool.
        said: The input of the tool.
    """
    asked = _asked(said)
    words = " ".join(f"{name}: {asked}".split()) if asked else name
    return Notice(code="server_tool", message=words[:_MAX_WORDS])


def _asked(said: object) -> str:
    if not isinstance(said, dict):
        return ""
    asked = cast("Mapping[str, Any]", said)
    for key in ("query", "queries", "pattern", "url", "name"):
        match asked.get(key):
            case str() as words if words:
                return words
            case [str() as words, *_] if words:
                return words
            case _:
                pass
    return _asked(asked.get("action"))


def value_of(text: str) -> object:
    """Return the decoded arguments, so that different spellings are equal. If a text is not JSON, return the text."""
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return text
