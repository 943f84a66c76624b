"""Calls of tools: those that the caller has to answer are numbered, of a provider's own people are told."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

import msgspec

from tailrace.events import Notice, ToolCall
from tailrace_worker.providers.fragments import Arguments
from tailrace_worker.providers.json_decoder import encoded

MAX_TOOL_CALLS: Final = 1_024
"""In one answer. A provider that counts on for ever is not to fill the memory."""

_MAX_WORDS: Final = 300


@dataclass(slots=True, eq=False)
class Call:
    """One call, as far as it has come."""

    index: int
    call_id: str | None = None
    name: str | None = None
    is_json: bool = True
    """Whether its arguments are JSON; a custom tool of OpenAI's takes text."""
    arguments: Arguments = field(default_factory=Arguments)

    def named(self, call_id: str | None, name: str | None) -> Iterator[ToolCall]:
        """Take the id and the name, and tell what of them is new."""
        new_id = call_id if call_id and not self.call_id else None
        new_name = name if name and not self.name else None
        self.call_id, self.name = self.call_id or call_id, self.name or name
        if new_id or new_name:
            yield ToolCall(index=self.index, call_id=new_id, name=new_name)

    def fragment(self, arguments: object) -> Iterator[ToolCall]:
        """Take a fragment of the arguments, and tell it. Servers of some models give them as an object."""
        if text := self.arguments.add(as_text(arguments)):
            yield ToolCall(index=self.index, arguments=text)

    def whole(self, arguments: object) -> Iterator[ToolCall]:
        """Take all the arguments, and tell what the fragments have not told of them.

        Raises:
            Differs: They are other arguments.
        """
        text = as_text(arguments)
        if text and self.arguments.is_complete and value_of(text) == value_of(str(self.arguments)):
            return
        if rest := self.arguments.rest(text):
            yield ToolCall(index=self.index, arguments=rest)

    def end(self, generated_id: str) -> Iterator[ToolCall]:
        """Tell what a caller needs and the provider did not say: an id to answer to, and the arguments `{}`."""
        yield from self.named(generated_id, None)
        if text := self.arguments.end() or ("{}" if self.is_json and self.arguments.is_blank else ""):
            yield from self.fragment(text)


class ToolCalls:
    """The calls of one answer, numbered from 0 on, in the order in which they begin."""

    def __init__(self, past_calls: int = 0) -> None:
        """Begin an answer to a conversation in which so many calls were made before."""
        self._calls: list[Call] = []
        self._past_calls = past_calls

    def __iter__(self) -> Iterator[Call]:
        return iter(self._calls)

    def __len__(self) -> int:
        return len(self._calls)

    def of_id(self, call_id: str | None) -> Call | None:
        """Return the call of this id."""
        return next((call for call in self._calls if call.call_id == call_id), None) if call_id else None

    def at(self, index: int) -> Call | None:
        """Return the call of this number, -1 being the last."""
        return self._calls[index] if -len(self._calls) <= index < len(self._calls) else None

    def begin(self, *, is_json: bool = True) -> Call:
        """Begin a call.

        Raises:
            ValueError: There are more than `MAX_TOOL_CALLS`.
        """
        if len(self._calls) == MAX_TOOL_CALLS:
            raise ValueError(f"It calls more than {MAX_TOOL_CALLS:,} tools in one answer.")
        self._calls.append(Call(len(self._calls), is_json=is_json))
        return self._calls[-1]

    @property
    def are_complete(self) -> bool:
        """Whether there are any, and no arguments of theirs were cut."""
        return bool(self._calls) and all(
            call.arguments.is_complete or call.arguments.is_blank or not call.is_json for call in self._calls
        )

    def end(self) -> Iterator[ToolCall]:
        """Tell what is missing of the calls once nothing more comes."""
        taken = {call.call_id for call in self._calls}
        for call in self._calls:
            generated = f"call_{self._past_calls + call.index}"
            yield from call.end(f"{generated}_" if generated in taken else generated)


def as_text(arguments: object) -> str:
    """Return arguments as the text that they are to readers."""
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else encoded(arguments)


def server_tool(name: str, said: object) -> Notice:
    """Tells of a call that the provider answers itself; `said` is what it asks its tool, as JSON."""
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
    """Return what arguments say, however they are spelt; a text that is no JSON says itself."""
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return text
