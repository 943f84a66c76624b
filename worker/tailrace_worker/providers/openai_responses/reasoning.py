"""A block of reasoning of Responses: what readers get of it, and how a later request gives it back."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import Struct

from tailrace.request.messages import PastReasoning
from tailrace_worker.providers.http.call import Body
from tailrace_worker.providers.openai_responses import wire

GAP: Final = "\n\n"
"""Between the parts of a block, which is one text to readers."""


class Part(NamedTuple):
    """Which part of a block."""

    kind: Literal["summary", "content"]
    number: int


class _Signature(Struct, omit_defaults=True):
    """What the text of a block does not say of it."""

    id: str | None = None
    encrypted_content: str | None = None
    summary: list[int] = []
    """The lengths of the parts that sum the reasoning up,"""
    content: list[int] = []
    """and of those that are the reasoning itself."""
    content_first: bool = False
    """Whether the text has the reasoning before its summary."""


_decode: Final = msgspec.json.Decoder(_Signature).decode


def text_of(item: wire.Reasoning) -> str:
    """The text of a block, as a stream joins it."""
    return _joined(part.text for part in (*(item.summary or ()), *(item.content or ())))


def signature_of(item: wire.Reasoning, last: Part | None) -> str | None:
    """What has to be given back with the text; `None` where there is nothing to know the block by.

    `last` is the part that a stream ended the text with.
    """
    if not item.id and not item.encrypted_content:
        return None
    signature = _Signature(
        id=item.id,
        encrypted_content=item.encrypted_content,
        summary=[len(part.text) for part in item.summary or ()],
        content=[len(part.text) for part in item.content or ()],
        content_first=bool(item.content) and last is not None and last.kind == "summary",
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
    reverse = signature.content_first
    before, after = (signature.content, signature.summary) if reverse else (signature.summary, signature.content)
    parts: list[str] = []
    start = 0
    for length in (*before, *after):
        parts.append(text[start : start + length])
        start += length + len(GAP) if length else 0
    if _joined(parts) != text:
        return ((), [text]) if signature.content and not signature.summary else ([text], ())
    first, second = parts[: len(before)], parts[len(before) :]
    return (second, first) if reverse else (first, second)


def _joined(parts: Iterable[str]) -> str:
    # A stream never comes to a part without text, and joins nothing to it.
    return GAP.join(filter(None, parts))
