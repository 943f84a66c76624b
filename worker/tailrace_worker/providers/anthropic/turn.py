"""`Turn`: records an answer of Messages, because a provider that paused it continues only from all of its blocks."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tailrace_worker.providers.anthropic.request import PAUSED
from tailrace_worker.providers.fragments import paired
from tailrace_worker.providers.json_decoder import members
from tailrace_worker.providers.tool_calls import as_text

_MAX_CHARS: Final = 1024 * 1024
"""The longest turn that is recorded."""
_GROWING: Final = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


class Turn:
    """The recorded blocks of one turn, also those that readers do not get, such as results of the provider's tools.

    https://docs.anthropic.com/en/api/handling-stop-reasons
    """

    def __init__(self) -> None:
        self._blocks: list[_RecordedBlock] = []
        self._chars = 0

    def begin(self, block: object) -> None:
        """Record the beginning of a block."""
        if self._has_room(block):
            self._blocks.append(_RecordedBlock(dict(members(block))))

    def add(self, number: int, delta: object) -> None:
        """Record a delta of a block.

        Args:
            number: The number of the block, from 0, in the order in which blocks began.
            delta: The delta.
        """
        if self._has_room(delta) and number < len(self._blocks):
            self._blocks[number].add(members(delta))

    def signature(self) -> str | None:
        """Return the turn as a signature for a later request; `None` if the turn is too long, or was cut."""
        if self._chars > _MAX_CHARS:
            return None
        try:
            return PAUSED + msgspec.json.encode([block.whole() for block in self._blocks]).decode()
        except (ValueError, RecursionError):
            return None

    def _has_room(self, said: object) -> bool:
        self._chars += len(str(said))
        return self._chars <= _MAX_CHARS


class _RecordedBlock:
    def __init__(self, said: dict[str, Any]) -> None:
        self._said = said
        self._grown: dict[str, list[str]] = {}
        """The fragments of each member that grows."""
        self._citations: list[Any] = []

    def add(self, delta: Mapping[str, Any]) -> None:
        kind = delta.get("type")
        if kind == "citations_delta":
            self._citations.append(delta.get("citation"))
        elif kind == "signature_delta":
            self._said["signature"] = delta.get("signature")
        elif name := _GROWING.get(str(kind)):
            self._grown.setdefault(name, []).append(as_text(delta.get(name)))

    def whole(self) -> Mapping[str, Any]:
        grown = {name: paired(as_text(self._said.get(name)) + "".join(parts)) for name, parts in self._grown.items()}
        whole = {**self._said, **grown}
        if self._citations:
            whole["citations"] = [*(self._said.get("citations") or ()), *self._citations]
        if json := whole.pop("partial_json", ""):
            whole["input"] = msgspec.json.decode(json)
        return whole
