"""The output items of OpenAI's Responses, which grow event by event: messages, reasoning and function calls."""

import io
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

from tailrace.encoders.tool_input import ToolInput

ItemStatus: TypeAlias = Literal["in_progress", "completed", "incomplete"]
Told: TypeAlias = Iterator[tuple[str, dict[str, Any]]]
"""Types of events without `response.`, each with its fields."""


class TextPart:
    """A part of a message: text of the answer, or of a refusal.

    Args:
        begins_at: How many characters of the answer come before it.
        is_refusal: True for a refusal.
    """

    def __init__(self, begins_at: int, *, is_refusal: bool) -> None:
        self.begins_at: int = begins_at
        """How many characters of the answer come before it."""
        self.is_refusal: bool = is_refusal
        """True for a refusal."""
        self.annotations: list[dict[str, Any]] = []
        """The citations."""
        self._text = io.StringIO()

    def add(self, text: str) -> None:
        """Add the next piece of its text.

        Args:
            text: The piece.
        """
        self._text.write(text)

    @property
    def text(self) -> str:
        """The text so far."""
        return self._text.getvalue()

    @property
    def name(self) -> str:
        """How the types of its events begin."""
        return "refusal" if self.is_refusal else "output_text"

    def object(self, *, is_empty: bool = False) -> dict[str, Any]:
        """Return the part as clients see it.

        Args:
            is_empty: True for the part as it was when it began.
        """
        text = "" if is_empty else self.text
        if self.is_refusal:
            return {"type": "refusal", "refusal": text}
        return {
            "type": "output_text",
            "text": text,
            "annotations": [] if is_empty else self.annotations,
            "logprobs": [],
        }


class MessageItem:
    """A message of the assistant.

    Args:
        item_id: The id of the item.
    """

    def __init__(self, item_id: str) -> None:
        self.id: str = item_id
        """The id of the item."""
        self.parts: list[TextPart] = []
        """Its parts. Only the last one grows."""

    def object(self, status: ItemStatus) -> dict[str, Any]:
        """Return the item as clients see it.

        Args:
            status: Its status.
        """
        content = [part.object() for part in self.parts]
        return {"type": "message", "id": self.id, "status": status, "role": "assistant", "content": content}

    def begin_part(self, part: TextPart) -> Told:
        """Begin a part, and end the one before.

        Args:
            part: The new part.
        """
        yield from self.end()
        self.parts.append(part)
        yield "content_part.added", {**self._place, "part": part.object(is_empty=True)}

    def annotate(self, annotation: dict[str, Any]) -> Told:
        """Add a citation to the last part.

        Args:
            annotation: The citation.
        """
        annotations = self.parts[-1].annotations
        annotations.append(annotation)
        place = {**self._place, "annotation_index": len(annotations) - 1}
        yield "output_text.annotation.added", {**place, "annotation": annotation}

    def end(self) -> Told:
        """End the last part, if there is one."""
        if self.parts:
            part = self.parts[-1]
            said: dict[str, Any] = {"refusal": part.text} if part.is_refusal else {"text": part.text, "logprobs": []}
            yield f"{part.name}.done", {**self._place, **said}
            yield "content_part.done", {**self._place, "part": part.object()}

    @property
    def _place(self) -> dict[str, Any]:
        return {"item_id": self.id, "content_index": len(self.parts) - 1}


class ReasoningItem:
    """A block of the model's reasoning.

    Args:
        item_id: The id of the item.
    """

    def __init__(self, item_id: str) -> None:
        self.id: str = item_id
        """The id of the item."""
        self.signature: str | None = None
        """What a later request must return unchanged."""
        self._text: io.StringIO | None = None

    def object(self, status: ItemStatus) -> dict[str, Any]:
        """Return the item as clients see it.

        Args:
            status: Its status.
        """
        summary = [] if self._text is None else [self._part()]
        item = {"type": "reasoning", "id": self.id, "summary": summary, "status": status}
        return item if self.signature is None else {**item, "encrypted_content": self.signature}

    def say(self, text: str) -> Told:
        """Add the next piece of the text.

        Args:
            text: The piece.
        """
        if self._text is None:
            self._text = io.StringIO()
            yield "reasoning_summary_part.added", {**self._place, "part": self._part()}
        self._text.write(text)
        yield "reasoning_summary_text.delta", {**self._place, "delta": text}

    def end(self) -> Told:
        """End the text, if there is one."""
        if self._text is not None:
            yield "reasoning_summary_text.done", {**self._place, "text": self._text.getvalue()}
            yield "reasoning_summary_part.done", {**self._place, "part": self._part()}

    def _part(self) -> dict[str, str]:
        return {"type": "summary_text", "text": self._text.getvalue() if self._text else ""}

    @property
    def _place(self) -> dict[str, Any]:
        return {"item_id": self.id, "summary_index": 0}


class CallItem:
    """A call of a function.

    Args:
        item_id: The id of the item.
        call: The call, whose id and name are known.
    """

    def __init__(self, item_id: str, call: ToolInput) -> None:
        self.id: str = item_id
        """The id of the item."""
        self._call = call

    def object(self, status: ItemStatus) -> dict[str, Any]:
        """Return the item as clients see it.

        Args:
            status: Its status. Its arguments come while it is in progress.
        """
        call = self._call
        return {
            "type": "function_call",
            "id": self.id,
            "call_id": call.call_id,
            "name": call.name,
            "arguments": "" if status == "in_progress" else call.arguments,
            "status": status,
        }

    @property
    def is_whole(self) -> bool:
        """True if the arguments are whole: nothing but white space can follow them."""
        return self._call.is_whole

    def say(self, fragment: str) -> Told:
        """Tell the next fragment of the arguments.

        Args:
            fragment: The fragment, which the call has already.
        """
        if fragment:
            yield "function_call_arguments.delta", {"item_id": self.id, "delta": fragment}

    def end(self) -> Told:
        """End the arguments."""
        yield (
            "function_call_arguments.done",
            {
                "item_id": self.id,
                "name": self._call.name,
                "arguments": self._call.arguments,
            },
        )


Item: TypeAlias = MessageItem | ReasoningItem | CallItem
