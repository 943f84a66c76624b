"""`ToolInput`: the arguments of a tool call, joined from its fragments."""

import io
import json
from collections.abc import Sequence
from typing import Any, Never

from tailrace.events import ToolCall


class ToolInput:
    """A tool call so far."""

    __slots__ = ("_arguments", "call_id", "name")

    def __init__(self) -> None:
        self.call_id: str | None = None
        """The provider's id of the call; `None` until a fragment has it."""
        self.name: str | None = None
        """The name of the tool; `None` until a fragment has it."""
        # A list would take 60 bytes for each fragment, however short.
        self._arguments = io.StringIO()

    @property
    def is_named(self) -> bool:
        """True once the id and the name are known. From then on they stay as they are."""
        return bool(self.call_id and self.name)

    @property
    def arguments(self) -> str:
        """The arguments so far."""
        return self._arguments.getvalue()

    @property
    def is_whole(self) -> bool:
        """True if the arguments are an object of JSON: nothing but white space can follow them."""
        arguments = self.arguments
        return arguments.rstrip().endswith("}") and json_error(arguments) is None

    def add(self, fragment: ToolCall) -> None:
        """Add the next fragment of the call.

        Args:
            fragment: The fragment.
        """
        if not self.is_named:
            self.call_id = fragment.call_id or self.call_id
            self.name = fragment.name or self.name
        self._arguments.write(fragment.arguments)


def json_error(text: str) -> str | None:
    """Return the reason why a client of the AI SDK would refuse a text as JSON.

    Args:
        text: The text.

    Returns:
        The reason, in words; `None` if the client accepts the text.
    """
    try:
        json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_checked)
    except (ValueError, RecursionError) as error:
        return f"The arguments of the tool call are not valid JSON: {error}."
    return None


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not a value of JSON")


def _checked(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse the keys for which a client of the AI SDK refuses the whole frame: it would throw and lose the answer."""
    value = dict(pairs)
    constructor = value.get("constructor")
    if "__proto__" in value or (isinstance(constructor, dict) and "prototype" in constructor):
        raise ValueError("a key would change the prototype of an object")
    return value
