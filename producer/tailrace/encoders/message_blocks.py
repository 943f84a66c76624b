"""The content blocks of Anthropic's messages, which grow event by event: text, thinking and calls of tools."""

import io
import json
import math
from typing import Any, Final, TypeAlias, cast

from tailrace.encoders.tool_input import ToolInput
from tailrace.events import Citation

_INVALID: Final = "INVALID_JSON"


class TextContentBlock:
    """Text of the answer, or of a refusal."""

    def __init__(self) -> None:
        self._text = io.StringIO()
        self._citations: list[dict[str, Any]] = []

    def object(self) -> dict[str, Any]:
        """Return the block as clients see it."""
        return {"type": "text", "text": self._text.getvalue(), "citations": self._citations or None}

    def say(self, text: str) -> dict[str, Any]:
        """Add the next piece of the text, and return its delta.

        Args:
            text: The piece.
        """
        self._text.write(text)
        return {"type": "text_delta", "text": text}

    def cite(self, citation: dict[str, Any]) -> dict[str, Any]:
        """Add a citation, and return its delta.

        Args:
            citation: The citation in Anthropic's form.
        """
        self._citations.append(citation)
        return {"type": "citations_delta", "citation": citation}


class ThinkingContentBlock:
    """A block of the model's thinking."""

    def __init__(self) -> None:
        self._text = io.StringIO()
        self._signature = ""

    def object(self) -> dict[str, Any]:
        """Return the block as clients see it."""
        return {"type": "thinking", "thinking": self._text.getvalue(), "signature": self._signature}

    def say(self, text: str) -> dict[str, Any]:
        """Add the next piece of the thinking, and return its delta.

        Args:
            text: The piece.
        """
        self._text.write(text)
        return {"type": "thinking_delta", "thinking": text}

    def sign(self, signature: str) -> dict[str, Any]:
        """Add the signature, and return its delta.

        Args:
            signature: What a later request must return unchanged.
        """
        self._signature = signature
        return {"type": "signature_delta", "signature": signature}


class ToolUseContentBlock:
    """A call of a tool.

    Args:
        call: The call, whose id and name are known.
    """

    def __init__(self, call: ToolInput) -> None:
        self._call = call

    def object(self) -> dict[str, Any]:
        """Return the block as clients see it. Its input is an object, as the protocol demands."""
        named = {"id": self._call.call_id, "name": self._call.name}
        return {"type": "tool_use", **named, "input": self._input(), "caller": {"type": "direct"}}

    @property
    def is_whole(self) -> bool:
        """True if the arguments are whole: nothing but white space can follow them."""
        return self._call.is_whole

    def _input(self) -> dict[str, Any]:
        """Return the arguments; text that is no JSON object stands inside one, as in `PastToolCall`."""
        arguments = self._call.arguments
        if not self.is_whole:
            return {_INVALID: arguments} if arguments else {}
        return cast("dict[str, Any]", json.loads(arguments, parse_float=_finite))


def _finite(number: str) -> float | str:
    """Return a number; its text if it is too large for a float, because JSON has no word for infinity."""
    value = float(number)
    return value if math.isfinite(value) else number


Block: TypeAlias = TextContentBlock | ThinkingContentBlock | ToolUseContentBlock


def cited(citation: Citation) -> dict[str, Any] | None:
    """Return a citation in Anthropic's form.

    Args:
        citation: The citation.

    Returns:
        The citation; `None` if Anthropic has no form for it.
    """
    quote, title, place = citation.quote or "", citation.title, citation.source_index or 0
    start, end = citation.source_start or 0, citation.source_end or 0
    if citation.source == "web":
        location: dict[str, Any] = {"url": citation.url or "", "title": title, "encrypted_index": ""}
        return {"type": "web_search_result_location", "cited_text": quote, **location}
    if citation.source == "search_result":
        location = {"search_result_index": place, "source": citation.url or "", "title": title}
        span = {"start_block_index": start, "end_block_index": end}
        return {"type": "search_result_location", "cited_text": quote, **location, **span}
    if citation.source != "document" or citation.unit is None:
        return None
    kind, unit = {
        "chars": ("char_location", "char_index"),
        "pages": ("page_location", "page_number"),
        "blocks": ("content_block_location", "block_index"),
    }[citation.unit]
    location = {"document_index": place, "document_title": title, "file_id": citation.file_id}
    return {"type": kind, "cited_text": quote, **location, f"start_{unit}": start, f"end_{unit}": end}
