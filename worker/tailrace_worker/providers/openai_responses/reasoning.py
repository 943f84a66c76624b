"""Blocks of reasoning of Responses: their text for readers, and their form in a later request."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import Struct

from tailrace.request.messages import PastReasoning
from tailrace_worker.providers.http.call import Body
from tailrace_worker.providers.openai_responses import wire

GAP: Final = "\n\n"
"""The text between two parts of a block, which is one text for readers."""


class BlockPart(NamedTuple):
    """The kind and the number of a part of a block."""

    kind: Literal["summary", "content"]
    number: int


class _ItemSignature(Struct, omit_defaults=True):
    """The data of a block that its text does not contain."""

    id: str | None = None
    encrypted_content: str | None = None
    summary: list[int] = []
    """The lengths of the parts of the summary."""
    content: list[int] = []
    """The lengths of the parts of the reasoning itself."""
    content_first: bool = False
    """True if the text has the reasoning before its summary."""


_decode: Final = msgspec.json.Decoder(_ItemSignature).decode


def text_of(item: wire.Reasoning) -> str:
    """Return the text of a block, as a stream joins it."""
    return _joined(part.text for part in (*(item.summary or ()), *(item.content or ())))


def signature_of(item: wire.Reasoning, last: BlockPart | None) -> str | None:
    """Return the signature that is sent back with the text; `None` if the block has no id and no encrypted content.

    Args:
        item: The block.
        last: The last part in the stream; `None` if there was none.
    """
    if not item.id and not item.encrypted_content:
        return None
    signature = _ItemSignature(
        id=item.id,
        encrypted_content=item.encrypted_content,
        summary=[len(part.text) for part in item.summary or ()],
        content=[len(part.text) for part in item.content or ()],
        content_first=bool(item.content) and last is not None and last.kind == "summary",
    )
    return msgspec.json.encode(signature).decode()


def item_of(block: PastReasoning) -> Body | None:
    """Return the item of a block; `None` if the block has no signature, or another provider's."""
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


def _parts(text: str, signature: _ItemSignature) -> tuple[Sequence[str], Sequence[str]]:
    """Return the parts of a text, or only one part if the text was changed after it was joined."""
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
    # A part without text is never in a stream, so it gets no gap.
    return GAP.join(filter(None, parts))
