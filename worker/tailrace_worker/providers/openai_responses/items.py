"""`Items`: finds the item to which an event belongs, whatever indices and ids the server gives its items."""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from tailrace_worker.providers.fragments import Differs, Fragments
from tailrace_worker.providers.json_decoder import members
from tailrace_worker.providers.openai_responses.reasoning import BlockPart
from tailrace_worker.providers.tool_calls import Call

MAX_OPEN_ITEMS: Final = 1_024
"""How many items may be open at the same time. Usually one is."""
_MAX_ITEMS: Final = 65_536

TextKind: TypeAlias = Literal["text", "refusal", "summary", "content"]


@dataclass(slots=True, eq=False)
class OutputItem:
    """One item, as far as it has arrived."""

    kind: str = ""
    """Its `type`."""
    index: int | None = None
    item_id: str | None = None
    """The index and the id that the server gave it first."""
    texts: dict[tuple[TextKind, int], Fragments] = field(default_factory=dict[tuple[TextKind, int], Fragments])
    """The texts, by their kind and the number of their part."""
    begins: dict[int, int] = field(default_factory=dict[int, int])
    """Where the text of each part begins in the answer's text, by the number of the part."""
    call: Call | None = None
    last_thought: BlockPart | None = None
    """The part of the reasoning that was passed on last."""
    begun: Mapping[str, Any] | None = None
    """The item as the server announced it; `None` if it was not announced."""
    is_done: bool = False
    """True once the whole item has arrived."""
    repeats: "OutputItem | None" = None
    """An earlier item with the same id, whose text this one may repeat. Transformers ends a message twice."""

    def can_be(self, kind: str, call_id: object = None) -> bool:
        """Return whether the item may have this type and, if it is a call, this id of a call."""
        is_kind = not (kind and self.kind) or kind == self.kind
        return is_kind and not (call_id and self.call and self.call.call_id and self.call.call_id != call_id)

    def text(self, kind: TextKind, number: int) -> Fragments:
        """Return the text of a part."""
        if (text := self.texts.get((kind, number))) is None:
            text = self.texts[kind, number] = Fragments()
        return text

    def told(self, kind: TextKind) -> str:
        """Return the text of all parts of a kind that was passed on."""
        return "".join(str(text) for (each, _), text in sorted(self.texts.items()) if each == kind)

    def told_chars(self, kind: TextKind) -> int:
        """Return the length of `told(kind)`, without joining the parts."""
        return sum(len(text) for (each, _), text in self.texts.items() if each == kind)

    def begin_of(self, number: int) -> int | None:
        """Return where the text of a part begins in the answer's text; `None` if none of the item's text is there."""
        begins = self.begins or (self.repeats.begins if self.repeats else {})
        return begins.get(number, min(begins.values(), default=None))

    def rest_of_part(self, kind: TextKind, number: int, whole: str) -> str:
        """Take the whole text of a part, and return what the fragments did not have.

        Args:
            kind: The kind of the text.
            number: The number of the part.
            whole: The whole text.

        Raises:
            Differs: The fragments are not its beginning.
        """
        text = self.text(kind, number)
        if self._is_repeated(kind, whole):
            return ""
        if len(self.texts) > 1 and len(text) < len(whole) == self.told_chars(kind) and self.told(kind) == whole:
            # The server numbers the parts differently in the fragments, or numbers the fragments.
            return ""
        return text.rest(whole)

    def rest(self, kind: TextKind, whole: str) -> str:
        """Take the whole text of all parts of a kind, and return what the fragments did not have.

        Args:
            kind: The kind of the text.
            whole: The whole text.

        Raises:
            Differs: The fragments are not its beginning.
        """
        if not whole or self._is_repeated(kind, whole):
            return ""
        *before, last = [text for (each, _), text in sorted(self.texts.items()) if each == kind] or [self.text(kind, 0)]
        told = "".join(map(str, before))
        if not whole.startswith(told):
            raise Differs({"message": "the whole message differs from the message that it streamed"})
        return last.rest(whole[len(told) :])

    def _is_repeated(self, kind: TextKind, whole: str) -> bool:
        other = self.repeats
        if other is None or self.told_chars(kind) or other.told_chars(kind) != len(whole):
            return False
        return other.told(kind) == whole

    @property
    def is_told(self) -> bool:
        """True if any of its text or arguments was passed on."""
        return any(self.texts.values()) or (self.call is not None and not self.call.arguments.is_blank)


class Items:
    """The items of one response, in the order in which they begin.

    OpenAI gives an item one index and one id. Other servers omit one or both, give several items the same index or the
    same id, or give an item a new id in each event. So an event belongs to the item that has both its index and its id,
    or else to the item with its id, or else to the item with its index. Items of another type do not count.
    """

    def __init__(self) -> None:
        self._all: list[OutputItem] = []
        self._by_index: dict[int, OutputItem] = {}
        self._by_id: dict[str, OutputItem] = {}
        self._by_call: dict[str, OutputItem] = {}
        self._latest: dict[str, OutputItem] = {}
        """The latest item of each type."""
        self._open = 0

    def __iter__(self) -> Iterator[OutputItem]:
        return iter(self._all)

    def begin(self, kind: str = "", index: object = None, item_id: object = None) -> OutputItem:
        """Begin an item.

        Raises:
            ValueError: There are too many items.
        """
        if self._open == MAX_OPEN_ITEMS or len(self._all) == _MAX_ITEMS:
            raise ValueError(f"The answer has too many items: {len(self._all):,}, of which {self._open:,} are open.")
        self._open += 1
        item = OutputItem(kind)
        self._all.append(item)
        return self._known_by(index, item_id, item, kind)

    def of(self, index: object, item_id: object, kind: str = "") -> OutputItem:
        """Return the item to which an event belongs, or begin one if no known item fits.

        Args:
            index: The index of the event.
            item_id: The id of the item in the event.
            kind: The type of the item; empty if the event does not show it.

        Raises:
            ValueError: There are too many items.
        """
        item = self._found(index, item_id, kind)
        if item is None:
            return self._continued(index, item_id, kind) or self.begin(kind, index, item_id)
        if not (item.kind and item.item_id):
            self._known_by(index, item_id, item, kind)
        return item

    def growing(self, index: object, item_id: object, kind: str) -> OutputItem:
        """Return the item to which a fragment belongs. If that item has ended, begin another one."""
        item = self.of(index, item_id, kind)
        return self.begin(kind, index, item_id) if item.is_done else item

    def added(self, index: object, said: Mapping[str, Any]) -> OutputItem:
        """Return an item that is announced: a new one, unless an earlier event was about the same item."""
        kind, item_id, call_id = str(said.get("type")), said.get("id"), said.get("call_id")
        named = self._by_id.get(item_id) if isinstance(item_id, str) else None
        if named is not None and not named.can_be(kind, call_id):
            named = None
        is_elsewhere = named is not None and isinstance(index, int) and named.index not in {None, index}
        if named is not None and (not is_elsewhere or named is self._of_call(call_id)):
            item = named
        else:
            at = self._by_index.get(index) if isinstance(index, int) else None
            is_known = at is not None and at.begun is None and not at.is_done and at.can_be(kind)
            item = at if at is not None and is_known else self.begin(kind)
            item.repeats = named
        item.begun = said
        return self._known_by(index, item_id, item, kind)

    def ended(self, index: object, said: Mapping[str, Any]) -> OutputItem:
        """Return the item that an event sends as a whole."""
        kind, item_id, call_id = str(said.get("type")), said.get("id"), said.get("call_id")
        item = self._found(index, item_id, kind) or self._continued(index, item_id, kind)
        if item is not None and not item.can_be(kind, call_id):
            # The server may have changed the id of the call. Then the id of the item decides.
            is_same = item.item_id == item_id and not item.is_done
            item = self._of_call(call_id) or (item if is_same else None)
        if item and item.is_done and not (item_id and item.item_id == item_id):
            item = None
        return self._known_by(index, item_id, item or self.begin(kind), kind)

    def called(self, item: OutputItem, call_id: str) -> None:
        """Note the id of the call in an item."""
        if call_id:
            self._by_call[call_id] = item

    def close(self, item: OutputItem) -> None:
        """Note that the whole item has arrived."""
        if not item.is_done:
            item.is_done = True
            self._open -= 1

    def matched(self, output: Sequence[object]) -> Iterator[tuple[OutputItem | None, object]]:
        """Yield each output of a whole response with the item that it repeats, by its id or else by its order."""
        things = [(members(thing), thing) for thing in output]
        known = [self._repeated(said) for said, _ in things]
        taken = set(known)
        left: defaultdict[object, deque[OutputItem]] = defaultdict(deque)
        for item in self._all:
            if item not in taken:
                left[item.kind].append(item)
        for (said, thing), match in zip(things, known, strict=True):
            turn = left[str(said.get("type"))]
            yield match or (turn.popleft() if turn else None), thing

    def _found(self, index: object, item_id: object, kind: str) -> OutputItem | None:
        at = self._by_index.get(index) if isinstance(index, int) else None
        if at is not None and at.kind == kind and at.item_id == item_id:
            return at
        named = self._by_id.get(item_id) if isinstance(item_id, str) else None
        if named is not None and (at is None or at.item_id != item_id):
            at, named = named, at
        if at is not None and at.can_be(kind):
            return at
        return named if named is not None and named.can_be(kind) else None

    def _continued(self, index: object, item_id: object, kind: str) -> OutputItem | None:
        """Return the latest item of a type if an event with an unknown index and id may belong to it."""
        item = self._latest.get(kind) if kind else self._all[-1] if self._all else None
        if item is None or item.is_done:
            return None
        if isinstance(index, int):
            # Other items have this index too, so it says nothing.
            return item if index in self._by_index and item.begun is not None else None
        return item if item.begun is not None or not isinstance(item_id, str) else None

    def _known_by(self, index: object, item_id: object, item: OutputItem, kind: str) -> OutputItem:
        if isinstance(index, int):
            self._by_index[index] = item
            item.index = index if item.index is None else item.index
        if isinstance(item_id, str):
            self._by_id[item_id] = item
            item.item_id = item.item_id or item_id
        item.kind = item.kind or kind
        self._latest[item.kind] = item
        return item

    def _of_call(self, call_id: object) -> OutputItem | None:
        return self._by_call.get(call_id) if isinstance(call_id, str) else None

    def _repeated(self, said: Mapping[str, Any]) -> OutputItem | None:
        if item := self._of_call(said.get("call_id")):
            return item
        item_id = said.get("id")
        item = self._by_id.get(item_id) if isinstance(item_id, str) else None
        return item if item and item.can_be(str(said.get("type")), said.get("call_id")) else None
