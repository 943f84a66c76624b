"""`Items`: the items of a response, by whichever index or id a server tells them by."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from tailrace_worker.providers.fragments import Differs, Fragments
from tailrace_worker.providers.json_decoder import members
from tailrace_worker.providers.responses_reasoning import Part
from tailrace_worker.providers.tool_calls import Call

MAX_OPEN_ITEMS: Final = 1_024
"""How many may have begun and not ended: one is usual."""
_MAX_ITEMS: Final = 65_536

TextKind: TypeAlias = Literal["text", "refusal", "summary", "content"]


@dataclass(slots=True, eq=False)
class Item:
    """One item, as far as it has come."""

    kind: str = ""
    """Its `type`."""
    texts: dict[tuple[TextKind, int], Fragments] = field(default_factory=dict[tuple[TextKind, int], Fragments])
    """Its texts, by what they are and the number of their part."""
    call: Call | None = None
    last_thought: Part | None = None
    """The part that its reasoning was last told of."""
    is_added: bool = False
    """Whether the server has told that it begins."""
    is_done: bool = False
    """Whether it has come as a whole."""

    def can_be(self, kind: str, call_id: object = None) -> bool:
        """Whether it may be the item of this type and, for a call, of this id."""
        is_kind = not (kind and self.kind) or kind == self.kind
        return is_kind and not (call_id and self.call and self.call.call_id and self.call.call_id != call_id)

    def text(self, kind: TextKind, number: int) -> Fragments:
        """Return the text of a part."""
        return self.texts.setdefault((kind, number), Fragments())

    def rest(self, kind: TextKind, whole: str) -> str:
        """Take the text of all parts of a kind, and return what the fragments have not told of it.

        Raises:
            Differs: It is another text.
        """
        *before, last = [text for (each, _), text in sorted(self.texts.items()) if each == kind] or [self.text(kind, 0)]
        told = "".join(map(str, before))
        if whole and not whole.startswith(told):
            raise Differs({"message": "the message that it repeats is not the message that it streamed"})
        return last.rest(whole[len(told) :])

    @property
    def is_told(self) -> bool:
        """Whether anything of it was told."""
        return any(self.texts.values()) or (self.call is not None and not self.call.arguments.is_blank)


class Items:
    """The items of one response, in the order in which they begin."""

    def __init__(self) -> None:
        self._all: list[Item] = []
        self._by_index: dict[int, Item] = {}
        self._by_id: dict[str, Item] = {}
        self._open = 0

    def __iter__(self) -> Iterator[Item]:
        return iter(self._all)

    def begin(self, kind: str = "") -> Item:
        """Begin an item.

        Raises:
            ValueError: There are too many.
        """
        if self._open == MAX_OPEN_ITEMS or len(self._all) == _MAX_ITEMS:
            raise ValueError(f"It has begun {len(self._all):,} items, {self._open:,} of which have not ended.")
        self._open += 1
        self._all.append(Item(kind))
        return self._all[-1]

    def of(self, index: object, item_id: object, kind: str = "") -> Item:
        """Return the item that an event is of; one that is not known begins.

        Some servers give no index, some no id, some neither; some give an item another id in each event.

        Raises:
            ValueError: There are too many.
        """
        item = self._by_index.get(index) if isinstance(index, int) else None
        if item is None or not item.can_be(kind):
            item = self._by_id.get(item_id) if isinstance(item_id, str) else None
        if item is None and not isinstance(index, int) and not isinstance(item_id, str):
            item = self.last_open
        return self._known_by(index, item_id, item or self.begin(), kind)

    def added(self, index: object, said: Mapping[str, Any]) -> Item:
        """Return the item that begins: a new one, unless a delta or a repetition by the same id has come before."""
        kind, item_id = str(said.get("type")), said.get("id")
        item = self._by_id.get(item_id) if isinstance(item_id, str) else None
        if item is None or not item.can_be(kind, said.get("call_id")):
            item = self._by_index.get(index) if isinstance(index, int) else None
            if item is not None and (item.is_added or item.is_done):
                item = None
        item = item or self.begin()
        item.is_added = True
        return self._known_by(index, item_id, item, kind)

    def ended(self, index: object, said: Mapping[str, Any]) -> Item:
        """Return the item that has come as a whole. Some servers give all items one index."""
        kind, item_id, call_id = str(said.get("type")), said.get("id"), said.get("call_id")
        known = self._by_id.get(item_id) if isinstance(item_id, str) else None
        item = self._by_index.get(index) if isinstance(index, int) else known or self.last_open
        if item is None or not item.can_be(kind, call_id) or (item.is_done and item is not known):
            item = known if known and known.can_be(kind, call_id) else None
        return self._known_by(index, item_id, item or self.begin(), kind)

    @property
    def last_open(self) -> Item | None:
        """The last item, if it has not ended."""
        return self._all[-1] if self._all and not self._all[-1].is_done else None

    def close(self, item: Item) -> None:
        """Note that an item has come as a whole."""
        if not item.is_done:
            item.is_done = True
            self._open -= 1

    def matched(self, output: Sequence[object]) -> Iterator[tuple[Item | None, object]]:
        """Yield what a whole response repeats, each thing with the item that it is: by its id, else by its turn."""
        things = [(members(thing), thing) for thing in output]
        known = [self._known(said) for said, _ in things]
        left = [item for item in self._all if item not in known]
        for (said, thing), item in zip(things, known, strict=True):
            match = item or next((each for each in left if each.kind == said.get("type")), None)
            if match in left:
                left.remove(match)
            yield match, thing

    def _known_by(self, index: object, item_id: object, item: Item, kind: str) -> Item:
        if isinstance(index, int):
            self._by_index[index] = item
        if isinstance(item_id, str):
            self._by_id[item_id] = item
        item.kind = item.kind or kind
        return item

    def _known(self, said: Mapping[str, Any]) -> Item | None:
        item_id, call_id = said.get("id"), said.get("call_id")
        if isinstance(item_id, str) and item_id in self._by_id:
            return self._by_id[item_id]
        if not call_id:
            return None
        return next((item for item in self._all if item.call and item.call.call_id == call_id), None)
