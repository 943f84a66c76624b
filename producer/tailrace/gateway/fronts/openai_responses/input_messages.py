"""`InputMessages`: the items of an input, as messages of a request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from tailrace import InvalidRequest
from tailrace.gateway.fronts.translation import Path

_LABELS: Final = frozenset({"id", "status", "phase"})
"""Fields of items that say nothing to a model."""
_UNTOLD: Final = "a job cannot carry items of the type {kind!r}. Give messages, function calls and reasoning"


@dataclass(slots=True)
class _ModelTurn:
    """A turn of the model, put together from its items."""

    content: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    thoughts: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def message(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": self.content}
        if self.calls:
            message["tool_calls"] = self.calls
        if self.thoughts:
            message["reasoning"] = self.thoughts
        return message

    def think(self, text: str, signature: str | None) -> None:
        """Add a block of reasoning, with its place among the text and the calls."""
        block: dict[str, Any] = {"text": text}
        after = {"signature": signature, "after_chars": len(self.content), "after_calls": len(self.calls)}
        self.thoughts.append({**block, **{name: value for name, value in after.items() if value}})


class InputMessages:
    """The messages of an input, and the item from which each of them comes.

    The items of one turn of the model become one message: its text, its calls and its reasoning, between which nobody
    else said anything. Two messages in a row are two turns.

    Args:
        given: The input: a text of the user, or items.

    Raises:
        InvalidRequest: An item cannot be carried. The message names it.
    """

    def __init__(self, given: str | Sequence[Mapping[str, Any]]) -> None:
        self.messages: list[dict[str, Any]] = []
        """The messages, oldest first."""
        self.places: list[int] = []
        """The first item of each message."""
        self._has_items = not isinstance(given, str)
        self._turn: _ModelTurn | None = None
        self._is_after_text = False
        if isinstance(given, str):
            self._say({"role": "user", "content": given}, 0)
            return
        for place, item in enumerate(given):
            self._add(item, place)
        self._end_turn()

    def path_of(self, path: Path, *, before: int) -> Path:
        """Return where a field of a message stands in the input.

        Args:
            path: The path of the field in a request.
            before: How many messages of the request come before those of the input.
        """
        match path:
            case ("messages", int(index), *rest) if index >= before and self._has_items:
                return ("input", self.places[index - before], *rest)
            case ("messages", *_):
                return ("input",)
            case _:
                return path

    def _add(self, item: Mapping[str, Any], place: int) -> None:
        fields = {name: value for name, value in item.items() if name not in _LABELS}
        kind = fields.pop("type", "message")
        match kind:
            case "message" if fields.get("role") == "assistant":
                self._add_text(fields, place)
            case "message":
                self._say(fields, place)
            case "function_call":
                self._turn_at(place).calls.append(_given(id=fields.pop("call_id", None), **fields))
            case "function_call_output":
                call_id, output = fields.pop("call_id", None), fields.pop("output", None)
                self._say(_given(role="tool", tool_call_id=call_id, content=output, **fields), place)
            case "reasoning":
                text = "\n\n".join(_texts(fields, place))
                self._turn_at(place).think(text, _signature(fields, place))
            case _:
                raise InvalidRequest(f"input.{place}.type: {_UNTOLD.format(kind=str(kind)[:64])}.")
        self._is_after_text = kind == "message"

    def _add_text(self, fields: Mapping[str, Any], place: int) -> None:
        if self._is_after_text:
            self._end_turn()
        content = fields.get("content")
        if not isinstance(content, str):
            content = "".join(_said(part, place) for part in _parts(fields, "content", place))
        self._turn_at(place).content += content

    def _say(self, message: dict[str, Any], place: int) -> None:
        self._end_turn()
        self.messages.append(message)
        self.places.append(place)

    def _turn_at(self, place: int) -> _ModelTurn:
        if self._turn is None:
            self._turn = _ModelTurn()
            self.places.append(place)
        return self._turn

    def _end_turn(self) -> None:
        if self._turn is not None:
            self.messages.append(self._turn.message)
            self._turn = None


def _given(**fields: Any) -> dict[str, Any]:
    """Return the fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}


def _parts(fields: Mapping[str, Any], name: str, place: int) -> Sequence[Any]:
    parts = fields.get(name)
    if parts is None:
        return []
    if not isinstance(parts, list):
        raise InvalidRequest(f"input.{place}.{name}: it is not a list.")
    return cast("list[object]", parts)


def _said(part: Any, place: int) -> str:
    match part:
        case {"type": "output_text" | "input_text", "text": str() as text}:
            return text
        case {"type": "refusal", "refusal": str() as text}:
            return text
        case _:
            raise InvalidRequest(f"input.{place}.content: a message of the assistant has only texts and refusals.")


def _texts(fields: Mapping[str, Any], place: int) -> list[str]:
    texts: list[str] = []
    for part in (*_parts(fields, "summary", place), *_parts(fields, "content", place)):
        match part:
            case {"text": str() as text}:
                texts.append(text)
            case _:
                raise InvalidRequest(f"input.{place}: a part of the reasoning has no `text`.")
    return texts


def _signature(fields: Mapping[str, Any], place: int) -> str | None:
    signature = fields.get("encrypted_content")
    if not isinstance(signature, str | None):
        raise InvalidRequest(f"input.{place}.encrypted_content: it is not a text.")
    return signature
