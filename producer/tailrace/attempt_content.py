"""`AttemptContent`: what one attempt has said, joined from its events."""

import json
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from tailrace.events import Box, Citation, Delta, Frames, Notice, Reasoning, Refusal, ToolCall
from tailrace.partial_json import PartialJson
from tailrace.request.messages import PastReasoning

_Piece: TypeAlias = Delta | Reasoning | Refusal | ToolCall | Box | Citation | Notice | Frames

_PIECES_AT_ONCE: Final = 1_000
"""How many pieces of a text are kept before they are joined."""


class _Text:
    """A text that grows. It is joined when it is read, because joining at each piece would take quadratic time."""

    __slots__ = ("_joined", "_json", "_pieces")

    def __init__(self, text: str = "") -> None:
        self._joined = [text]
        self._pieces: list[str] = []
        """The last pieces, not joined yet. Each takes about 50 bytes more than its characters."""
        self._json: PartialJson | None = None
        """The text as JSON, once this was asked for."""

    def __reduce__(self) -> tuple[type["_Text"], tuple[str]]:
        # A parser cannot be copied, so a copy of the text begins without one.
        return _Text, (str(self),)

    def __str__(self) -> str:
        if self._pieces or len(self._joined) > 1:
            self._joined[:] = ["".join((*self._joined, *self._pieces))]
            self._pieces.clear()
        return self._joined[0]

    @property
    def partial(self) -> Any:
        if self._json is None:
            self._json = PartialJson()
            self._json.add(str(self))
        return self._json.value

    def add(self, piece: str) -> None:
        if self._json is not None:
            self._json.add(piece)
        self._pieces.append(piece)
        if len(self._pieces) >= _PIECES_AT_ONCE:
            self._joined.append("".join(self._pieces))
            self._pieces.clear()


class CalledTool:
    """A tool call, joined from the fragments that have arrived."""

    __slots__ = ("_arguments", "call_id", "name")

    def __init__(self) -> None:
        self.call_id: str | None = None
        """The provider's id of the call, to which the tool's result refers."""
        self.name: str | None = None
        """The name of the tool."""
        self._arguments = _Text()

    def __repr__(self) -> str:
        return f"CalledTool(call_id={self.call_id!r}, name={self.name!r}, arguments={self.arguments!r})"

    def add(self, fragment: ToolCall) -> None:
        """Add the next fragment of this call.

        Args:
            fragment: The fragment, whose `index` is that of the call.
        """
        self.call_id = fragment.call_id or self.call_id
        self.name = fragment.name or self.name
        self._arguments.add(fragment.arguments)

    @property
    def arguments(self) -> str:
        """The arguments so far, as JSON, which is complete after the answer has ended."""
        return str(self._arguments)

    @property
    def partial(self) -> Any:
        """The value of the arguments so far, as `Answer.partial` has it for the text."""
        return self._arguments.partial

    @property
    def parsed_arguments(self) -> Any:
        """The value of `arguments`, or `{}` if they are empty.

        Raises:
            ValueError: The arguments are not JSON, for example because they are not complete yet.
        """
        try:
            return json.loads(self.arguments or "{}")
        except RecursionError:
            raise ValueError(f"The arguments of {self.name!r} are nested too deeply.") from None


@dataclass(slots=True)
class AttemptContent:
    """What one attempt has said so far."""

    text: _Text = field(default_factory=_Text)
    reasoning: _Text = field(default_factory=_Text)
    thoughts: list[PastReasoning] = field(default_factory=list[PastReasoning])
    """The signed blocks of reasoning."""
    unsigned: _Text = field(default_factory=_Text)
    """The reasoning since the last signed block."""
    unsigned_after: tuple[int, int] | None = None
    """How many characters of the text and how many tool calls came before that reasoning."""
    refusal: _Text = field(default_factory=_Text)
    tool_calls: dict[int, CalledTool] = field(default_factory=dict[int, CalledTool])
    boxes: list[Box] = field(default_factory=list[Box])
    citations: list[Citation] = field(default_factory=list[Citation])
    notices: list[Notice] = field(default_factory=list[Notice])
    complete: bool = True

    def add(self, piece: _Piece) -> None:
        """Add the next event of the attempt.

        Args:
            piece: The event, which is not a `started` or an ending.
        """
        match piece:
            case Delta():
                self.text.add(piece.text)
            case Reasoning():
                self.reasoning.add(piece.text)
                self._think(piece)
            case Refusal():
                self.refusal.add(piece.text)
            case ToolCall():
                self.tool_calls.setdefault(piece.index, CalledTool()).add(piece)
            case Box():
                self.boxes.append(piece)
            case Citation():
                self.citations.append(piece)
            case Notice():
                self.notices.append(piece)
            case Frames():
                pass

    def _think(self, piece: Reasoning) -> None:
        if self.unsigned_after is None:
            self.unsigned_after = len(str(self.text)), len(self.tool_calls)
        self.unsigned.add(piece.text)
        if piece.signature:
            block = PastReasoning(text=str(self.unsigned), signature=piece.signature)
            chars, calls = self.unsigned_after
            if chars:
                block["after_chars"] = chars
            if calls:
                block["after_calls"] = calls
            self.thoughts.append(block)
            self.break_off_thought()

    def break_off_thought(self) -> None:
        """Begin another block with the reasoning that follows."""
        self.unsigned, self.unsigned_after = _Text(), None
