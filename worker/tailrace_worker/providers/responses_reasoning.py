"""A block of reasoning of Responses: what readers get of it, and how a later request gives it back."""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from tailrace.messages import PastReasoning
from tailrace_worker.providers import responses_wire as wire
from tailrace_worker.providers.endpoint import Body

GAP: Final = "\n\n"
"""Between the parts of a block, which is one text to readers."""


class _Signature(Struct, omit_defaults=True):
    """What the text of a block does not say of it."""

    id: str | None = None
    encrypted_content: str | None = None
    summary: list[int] = []
    """The lengths of the parts that sum the reasoning up,"""
    content: list[int] = []
    """and of those that are the reasoning itself."""


_decode: Final = msgspec.json.Decoder(_Signature).decode


def text_of(item: wire.Reasoning) -> str:
    """The text of a block, as a stream joins it."""
    return GAP.join(part.text for part in (*(item.summary or ()), *(item.content or ())))


def signature_of(item: wire.Reasoning) -> str | None:
    """What has to be given back with the text; `None` where there is nothing to know the block by."""
    if not item.id and not item.encrypted_content:
        return None
    signature = _Signature(
        id=item.id,
        encrypted_content=item.encrypted_content,
        summary=[len(part.text) for part in item.summary or ()],
        content=[len(part.text) for part in item.content or ()],
    )
    return msgspec.json.encode(signature).decode()


def item_of(block: PastReasoning) -> Body | None:
    """The item that the block was; `None` for one that has no signature, or another provider's."""
    try:
        signature = _decode(block.get("signature", ""))
    except msgspec.DecodeError:
        return None
    summary, content = _parts(block["text"], signature)
    item: Body = {"type": "reasoning", "summary": [{"type": "summary_text", "text": part} for part in summary]}
    if content:
        item["content"] = [{"type": "reasoning_text", "text": part} for part in content]
    if signature.id:
        item["id"] = signature.id
    if signature.encrypted_content:
        item["encrypted_content"] = signature.encrypted_content
    return item


def _parts(text: str, signature: _Signature) -> tuple[Sequence[str], Sequence[str]]:
    """The parts that the text was joined from; one where somebody has changed it since."""
    parts: list[str] = []
    start = 0
    for length in (*signature.summary, *signature.content):
        parts.append(text[start : start + length])
        start += length + len(GAP)
    if GAP.join(parts) == text:
        return parts[: len(signature.summary)], parts[len(signature.summary) :]
    return ((), [text]) if signature.content and not signature.summary else ([text], ())
