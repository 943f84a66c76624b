"""Which tool call a fragment of Chat Completions belongs to, however its server numbers and names the calls."""

from collections.abc import Iterator, Sequence

from tailrace.events import ToolCall
from tailrace_worker.providers import chat_wire as wire
from tailrace_worker.providers.chat_reasoning import GivenBack
from tailrace_worker.providers.fragments import Arguments
from tailrace_worker.providers.tool_calls import Call, ToolCalls, as_text


class ChatCalls:
    """The calls of one answer.

    OpenAI gives each call an index, and its first fragment an id and a name. Other servers leave out the index or the
    id, give one index to all calls or two to one, give every fragment the name or an id of its own, or count fragments.
    """

    def __init__(self, calls: ToolCalls, given_back: GivenBack) -> None:
        self._calls = calls
        self._given_back = given_back
        self._places: dict[int, Call] = {}
        """The latest call at each index."""
        self._shared: dict[int, str] = {}
        """The id that the call at an index shares with another call, which keeps it."""
        self._repeats: dict[int, tuple[Call, str]] = {}
        """The indices at which a complete call seems to come again, and what of its arguments has come again."""

    def fragment(self, number: int, said: wire.ToolCall) -> Iterator[ToolCall]:
        """Take the fragment of this number in its chunk."""
        place = said.index if isinstance(said.index, int) else number
        call_id, name, text = _told(said)
        if self._shared.get(place) == call_id:
            call_id = None
        known = self._calls.of_id(call_id)
        if known and known is not self._places.get(place) and isinstance(said.index, int):
            if known.arguments.is_complete and place not in self._repeats:
                self._repeats[place] = (known, "")
            elif not known.arguments.is_complete:
                text = _without_repeat(known, text)
        if place in self._repeats:
            repeated, came = self._repeats[place]
            text = came + text
            if name in {None, repeated.name} and str(repeated.arguments).startswith(text):
                self._repeats[place] = (repeated, text)
                return
            # It is another call by the same id.
            del self._repeats[place]
            self._places.pop(place, None)
            self._shared[place] = repeated.call_id or ""
            call_id, known, name = None, None, name or repeated.name
        call = known or self._continued(place, call_id, name, text)
        if call is None:
            call = self._calls.begin(is_json=said.custom is None)
        self._places[place] = call
        self._given_back.call(call.index, said.extra_content, said.provider_specific_fields)
        yield from _merged(call.named(call_id, name), call.fragment(text))

    def whole(self, said: Sequence[wire.ToolCall], *, begun: int) -> Iterator[ToolCall]:
        """Take the calls of a whole message, after the first `begun` calls of the answer came in fragments."""
        for number, each in enumerate(said):
            call_id, name, text = _told(each)
            call = self._calls.of_id(call_id, begun=begun) or self._calls.at(number, begun=begun)
            if call is None or (name and call.name and name != call.name):
                call = self._calls.begin(is_json=each.custom is None)
            self._given_back.call(call.index, each.extra_content, each.provider_specific_fields)
            yield from _merged(call.named(call_id, name), call.whole(text))

    def _continued(self, place: int, call_id: str | None, name: str | None, text: str) -> Call | None:
        """The call that goes on with a fragment, by its index; `None` if the fragment begins a call."""
        call = self._places.get(place)
        if call is None:
            # A server that counts its fragments.
            return None if name or call_id else self._calls.at(-1)
        if not name:
            return call
        is_open = not (call.arguments.is_blank or call.arguments.is_complete)
        if call_id and call.call_id and call_id != call.call_id:
            return call if name == call.name and is_open else None
        if not call.name or call_id == call.call_id is not None:
            return call
        return call if name == call.name and not (call.arguments.is_complete and text.strip()) else None


def _told(said: wire.ToolCall) -> tuple[str | None, str | None, str]:
    # Servers repeat empty ids and names with every fragment.
    call_id = said.id if isinstance(said.id, str) and said.id else None
    if said.function:
        return call_id, said.function.name or None, as_text(said.function.arguments)
    if said.custom:
        return call_id, said.custom.name or None, as_text(said.custom.input)
    return call_id, None, ""


def _without_repeat(call: Call, text: str) -> str:
    """What a fragment adds to a call that goes on at another index, where it may come from its beginning."""
    whole = Arguments()
    whole.add(text)
    return text.removeprefix(str(call.arguments)) if whole.is_complete else text


def _merged(named: Iterator[ToolCall], told: Iterator[ToolCall]) -> Iterator[ToolCall]:
    """Tell of one fragment in one piece."""
    names, arguments = next(named, None), next(told, None)
    if names and arguments:
        yield ToolCall(index=names.index, call_id=names.call_id, name=names.name, arguments=arguments.arguments)
    elif piece := names or arguments:
        yield piece
