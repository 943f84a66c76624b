"""`Turn`: a turn of Messages as it came, block by block, for a provider that paused it and wants it back to go on."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tailrace_worker.providers.anthropic_input import PAUSED
from tailrace_worker.providers.json_decoder import members
from tailrace_worker.providers.tool_calls import as_text

_MAX_CHARS: Final = 1024 * 1024
"""How long a turn may be that is recorded."""
_GROWING: Final = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}
_INPUT: Final = "partial_json"


class Turn:
    """Records the blocks of one turn, among them those that readers do not get: what a provider's own tools found.

    https://docs.anthropic.com/en/api/handling-stop-reasons
    """

    def __init__(self) -> None:
        self._blocks: list[dict[str, Any]] = []
        self._grown: list[dict[str, list[str]]] = []
        """What was added to the members of each block."""
        self._chars = 0

    def begin(self, block: object) -> None:
        """Take a block as it begins."""
        if self._has_room(block):
            self._blocks.append(dict(members(block)))
            self._grown.append({})

    def add(self, delta: object) -> None:
        """Take more of the last block."""
        said = members(delta)
        if not (self._blocks and self._has_room(said)):
            return
        block, grown = self._blocks[-1], self._grown[-1]
        match said.get("type"):
            case "citations_delta":
                block["citations"] = [*(block.get("citations") or ()), said.get("citation")]
            case "input_json_delta":
                grown.setdefault(_INPUT, []).append(as_text(said.get(_INPUT)))
            case str() as kind if kind in _GROWING:
                grown.setdefault(_GROWING[kind], []).append(as_text(said.get(_GROWING[kind])))
            case _:
                pass

    def signature(self) -> str | None:
        """Return what a later request gives the turn back by; `None` if it is too long, or was cut."""
        if self._chars > _MAX_CHARS:
            return None
        try:
            blocks = [_whole(block, grown) for block, grown in zip(self._blocks, self._grown, strict=True)]
            return PAUSED + msgspec.json.encode(blocks).decode()
        except ValueError:
            return None

    def _has_room(self, said: object) -> bool:
        self._chars += len(str(said))
        return self._chars <= _MAX_CHARS


def _whole(block: Mapping[str, Any], grown: Mapping[str, list[str]]) -> Mapping[str, Any]:
    whole = {**block, **{name: (block.get(name) or "") + "".join(parts) for name, parts in grown.items()}}
    if json := whole.pop(_INPUT, ""):
        whole["input"] = msgspec.json.decode(json)
    return whole
