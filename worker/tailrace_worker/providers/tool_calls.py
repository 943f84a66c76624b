"""Calls of tools: those that the caller has to answer are numbered, of a provider's own people are told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from tailrace.events import Notice

MAX_TOOL_CALLS: Final = 1_024
"""In one answer. A provider that counts on for ever is not to fill the memory."""

_MAX_WORDS: Final = 300


@dataclass(slots=True)
class _Call:
    index: int
    call_id: str | None
    has_arguments: bool = False


class ToolCalls:
    """Numbers the calls of one answer from 0 on, in the order in which they begin.

    `place` is the number that the provider's fragments name a call by, whatever it counts with it.
    """

    def __init__(self) -> None:
        self._begun: list[_Call] = []
        self._calls: dict[int, _Call] = {}
        """By their places."""

    def __bool__(self) -> bool:
        return bool(self._begun)

    def index(self, place: int) -> int | None:
        """The number of the call at this place; `None`: there is none."""
        call = self._calls.get(place)
        return call.index if call else None

    def begin(self, place: int, call_id: str | None) -> int:
        """The number of the call of this id. Some servers give every call the same place.

        Raises:
            ValueError: There are more than `MAX_TOOL_CALLS`.
        """
        call = self._calls.get(place)
        if call is None or (call_id and call.call_id and call_id != call.call_id):
            call = self._begin(place, call_id)
        call.call_id = call.call_id or call_id
        return call.index

    def fragment(
        self, place: int, call_id: str | None, name: str | None, arguments: str | None
    ) -> tuple[int, str | None]:
        """The number and the id of the call that a fragment is of, where a place may be used again.

        Some servers give every call the same place, and some of those no id; others give every fragment an id of its
        own. Only a name begins a call.

        Raises:
            ValueError: As `begin`.
        """
        call = self._calls.get(place)
        if call is None or (name and (call_id != call.call_id if call_id and call.call_id else call.has_arguments)):
            call = self._begin(place, call_id)
        call.call_id = call.call_id or call_id
        call.has_arguments = call.has_arguments or bool(arguments)
        return call.index, call.call_id

    @property
    def without_id(self) -> Sequence[int]:
        """The numbers of the calls that have none."""
        return [call.index for call in self._begun if not call.call_id]

    def _begin(self, place: int, call_id: str | None) -> _Call:
        if len(self._begun) == MAX_TOOL_CALLS:
            raise ValueError(f"It calls more than {MAX_TOOL_CALLS:,} tools in one answer.")
        call = self._calls[place] = _Call(len(self._begun), call_id)
        self._begun.append(call)
        return call


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
