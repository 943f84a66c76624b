"""`ChatCalls`: assigns fragments of tool calls in Chat Completions to calls, whatever indices and ids a server uses."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tailrace.events import ToolCall
from tailrace_worker.providers.fragments import Arguments, paired
from tailrace_worker.providers.openai_chat import wire
from tailrace_worker.providers.openai_chat.reasoning import GivenBack
from tailrace_worker.providers.tool_calls import Call, ToolCalls, as_text, value_of

_EMPTY: Final = "{}"
_NONE: Final = "null"
"""The arguments that some servers send for a call without arguments."""


@dataclass(slots=True, eq=False)
class _Repeat:
    """Fragments that seem to repeat a complete call."""

    call: Call
    arguments: str
    is_elsewhere: bool
    """True if the fragments have another index than the call."""
    is_named: bool = False
    length: int = 0

    def fits(self, call_id: str | None, name: str | None) -> bool:
        """Return whether a fragment with this id and name may belong to the same call."""
        return call_id in {None, self.call.call_id} and name in {None, self.call.name}

    def goes_on(self, name: str | None, text: str) -> bool:
        """Take a fragment, and return whether it repeats the call so far."""
        self.is_named = self.is_named or name is not None
        if self.length == len(self.arguments):
            self.length = 0
        if not self.arguments.startswith(text, self.length):
            is_same = not self.length and text.lstrip().startswith("{") and value_of(text) == value_of(self.arguments)
            return is_same or not text.strip()
        self.length += len(text)
        return True

    def is_other(self, text: str) -> bool:
        """Return whether the fragments are another call with the same name. If not, they continue the first one."""
        return self.is_elsewhere or (self.is_named and text.lstrip().startswith(("{", "[")))


class ChatCalls:
    """The calls of one answer.

    OpenAI gives each call an index, and an id and a name in its first fragment. Other servers omit the index or the id,
    give all calls the same index or one call two indices, repeat the name or send a new id with every fragment, number
    the fragments instead of the calls, or send a complete call again.
    """

    def __init__(self, calls: ToolCalls, given_back: GivenBack) -> None:
        self._calls = calls
        self._given_back = given_back
        self._place = 0
        """The index of the latest fragment."""
        self._places: dict[int, Call] = {}
        """The latest call at each index."""
        self._shared: dict[int, str] = {}
        """By index: an id that an earlier call has already, and keeps."""
        self._repeats: dict[int, _Repeat] = {}
        """By index: a complete call that seems to be repeated at this index."""
        self._empty: set[int] = set()
        """The calls whose arguments are `{}` so far. The `{}` is held back, because gateways to Bedrock send it before
        the arguments."""
        self._spoiled: set[int] = set()
        """The calls whose arguments went on after they were complete. The search for repeats of them would take too
        long."""

    def fragment(self, number: int | None, said: wire.ToolCall) -> Iterator[ToolCall]:
        """Take a fragment, and yield what is new of it.

        Args:
            number: The position of the fragment in its event; `None` if it is the only one there.
            said: The fragment.
        """
        call_id, name, text = _told(said)
        index = _index(said.index)
        place = index if index is not None else self._place if number is None else number
        self._place = place
        here = self._places.get(place)
        if here and not (name or call_id or place in self._repeats or self._is_complete(here)):
            # The fast path, for nearly every fragment.
            self._given_back.call(here.index, said.extra_content, said.provider_specific_fields)
            yield from here.fragment(self._held(here, text))
            return
        known = self._by_id(place, call_id, name)
        if self._shared.get(place) == call_id:
            call_id = None
        repeat = self._repeats.pop(place, None)
        if repeat is None or not repeat.fits(call_id, name):
            repeat = self._repeat(known or here, here, call_id, name, text)
        if repeat and repeat.goes_on(name, text):
            self._repeats[place] = repeat
            self._given_back.call(repeat.call.index, said.extra_content, said.provider_specific_fields)
            return
        if repeat:
            text = repeat.arguments[: repeat.length] + text
            call: Call | None = repeat.call
            if repeat.call.index in self._empty:
                self._empty.remove(repeat.call.index)
            elif repeat.is_other(text):
                self._shared[place] = repeat.call.call_id or ""
                call, call_id, name = None, None, name or repeat.call.name
            else:
                self._spoiled.add(repeat.call.index)
        else:
            if known and known is not here and index is not None:
                text = _without_repeat(known, text)
            call = known or self._continued(place, call_id, name, text)
        if call is None:
            if not (call_id or name or text.strip()):
                return
            call = self._calls.begin(is_json=said.custom is None)
        self._places[place] = call
        self._given_back.call(call.index, said.extra_content, said.provider_specific_fields)
        yield from _merged(call.named(call_id, name), call.fragment(self._held(call, text)))

    def whole(self, said: Sequence[wire.ToolCall]) -> Iterator[ToolCall]:
        """Take the calls of a whole message, and yield what earlier fragments did not have.

        Args:
            said: The calls.
        """
        streamed = list(self._calls)
        for each in said:
            call_id, name, text = _told(each)
            call = _same(streamed, call_id, name)
            if call is None:
                call = self._calls.begin(is_json=each.custom is None)
            else:
                streamed.remove(call)
            self._given_back.call(call.index, each.extra_content, each.provider_specific_fields)
            if call.arguments.is_complete if call.is_json else call.arguments:
                # The server may have edited the arguments since. Readers keep what was streamed.
                text = ""
            yield from _merged(call.named(call_id, name), call.whole("" if text == _NONE else text))

    def _by_id(self, place: int, call_id: str | None, name: str | None) -> Call | None:
        if self._shared.get(place) == call_id:
            return None
        known = self._calls.of_id(call_id)
        if known and call_id and known.name and name not in {None, known.name}:
            # It is another call with the same id.
            self._shared[place] = call_id
            return None
        return known

    def _is_complete(self, call: Call) -> bool:
        is_complete = call.arguments.is_complete and call.index not in self._spoiled
        return call.is_json and (is_complete or call.index in self._empty)

    def _held(self, call: Call, text: str) -> str:
        """Return the text that can be passed on now. `{}` may be the arguments, or come before them by mistake."""
        if not (call.is_json and call.arguments.is_blank):
            return text
        said = text.strip()
        if said == _EMPTY:
            self._empty.add(call.index)
        return "" if said in {_EMPTY, _NONE} else text

    def _repeat(
        self, call: Call | None, here: Call | None, call_id: str | None, name: str | None, text: str
    ) -> _Repeat | None:
        """Return the repeat of a complete call that a fragment begins; `None` if it begins none."""
        if call is None or not self._is_complete(call) or call_id not in {None, call.call_id}:
            return None
        is_elsewhere = call is not here
        if is_elsewhere or name == call.name or (name is None and text.strip()):
            return _Repeat(call, str(call.arguments) or _EMPTY, is_elsewhere)
        return None

    def _continued(self, place: int, call_id: str | None, name: str | None, text: str) -> Call | None:
        """Return the call that a fragment continues, by its index; `None` if the fragment begins a call."""
        call = self._places.get(place)
        if call is None:
            # The server may number its fragments instead of its calls.
            return None if name or call_id else self._calls.at(-1)
        if not name:
            return call
        if call_id and call.call_id and call_id != call.call_id:
            goes_on = text.strip() if call.arguments.is_blank else not call.arguments.is_complete
            return call if name == call.name and goes_on and call.index not in self._empty else None
        if not call.name or call_id == call.call_id is not None:
            return call
        return call if name == call.name and not (call.arguments.is_complete and text.strip()) else None


def _index(said: object) -> int | None:
    if type(said) is int:
        return said
    if isinstance(said, str) and said.isdecimal():
        return int(said[:9])
    return int(said) if isinstance(said, float) and said.is_integer() else None


def _told(said: wire.ToolCall) -> tuple[str | None, str | None, str]:
    # Some servers send an empty id and name with every fragment.
    call_id = paired(said.id) if isinstance(said.id, str) and said.id else None
    if said.function:
        # PHP encodes an empty object as a list.
        return call_id, _name(said.function.name), as_text(said.function.arguments or None)
    if said.custom:
        return call_id, _name(said.custom.name), as_text(said.custom.input)
    return call_id, None, ""


def _name(said: str | None) -> str | None:
    return paired(said) if said else None


def _same(streamed: Sequence[Call], call_id: str | None, name: str | None) -> Call | None:
    """Return the streamed call that a whole message repeats: the one with the id, or else the first with the name."""
    if call_id and (call := next((call for call in streamed if call.call_id == call_id), None)):
        return call
    return next((call for call in streamed if not (name and call.name) or call.name == name), None)


def _without_repeat(call: Call, text: str) -> str:
    """Return what a fragment adds to a call that continues at another index. The server may send it again there."""
    whole = Arguments()
    whole.add(text)
    return text.removeprefix(str(call.arguments)) if whole.is_complete else text


def _merged(named: Iterator[ToolCall], told: Iterator[ToolCall]) -> Iterator[ToolCall]:
    """Merge the pieces of one fragment into one."""
    names, arguments = next(named, None), next(told, None)
    if names and arguments:
        yield ToolCall(index=names.index, call_id=names.call_id, name=names.name, arguments=arguments.arguments)
    elif piece := names or arguments:
        yield piece
