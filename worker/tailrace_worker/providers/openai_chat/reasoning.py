"""The reasoning and the signatures that servers of Chat Completions expect back with an assistant turn.

OpenAI itself has none of these. Gemini signs its calls and its text in `extra_content`. LiteLLM passes such a signature
on in `provider_specific_fields`. DeepSeek and Kimi reject a turn that has tool calls but no `reasoning_content`.
OpenRouter expects its `reasoning_details` back unchanged.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias, cast

import msgspec
from msgspec import Struct

from tailrace.request.messages import PastReasoning
from tailrace_worker.providers.http.call import Body
from tailrace_worker.providers.json_decoder import encoded
from tailrace_worker.providers.openai_chat import wire

MAX_BYTES: Final = 1024 * 1024
"""The size of the largest signature."""

_PREFIX: Final = "chat:"
_DETAIL_BYTES: Final = 256
"""The memory that each of the `reasoning_details` takes at least."""
_JOINED: Final = frozenset({"text", "summary", "data"})
"""The members of `reasoning_details` whose fragments are joined. Of any other member, the last value counts."""

_Member: TypeAlias = Literal["reasoning_content", "reasoning"]


class _CallSignature(Struct, omit_defaults=True):
    extra_content: Any = None
    provider_specific_fields: Any = None


class _Signature(Struct, omit_defaults=True):
    """The data that is sent back in addition to the text of a block."""

    members: list[_Member] = []
    """The members of the message that held the text."""
    reasoning_details: list[dict[str, Any]] = []
    extra_content: Any = None
    calls: dict[int, _CallSignature] = {}
    """By the index of the call."""


_decode: Final = msgspec.json.Decoder(_Signature).decode


class GivenBack:
    """A collector of reasoning and signatures, from the deltas of an answer or from its whole message."""

    def __init__(self) -> None:
        self._members: set[_Member] = set()
        self._details = _Details()
        self._extra_content: object = None
        self._calls: dict[int, _CallSignature] = {}
        self._left = MAX_BYTES

    def see(self, message: wire.Message, *, is_whole: bool = False) -> None:
        """Take a delta, or the whole message, which may repeat the deltas.

        Args:
            message: The delta or the message.
            is_whole: True if it is the whole message.
        """
        # In its thinking mode, DeepSeek expects the member back even if it was empty.
        if message.reasoning_content is not None:
            self._members.add("reasoning_content")
        if message.reasoning:
            self._members.add("reasoning")
        if message.reasoning_details and self._left >= 0 and not (is_whole and self._details):
            self._spend(self._details.add(message.reasoning_details))
        if message.extra_content and not _is_thought(message.extra_content):
            self._extra_content = message.extra_content

    def call(self, number: int, extra_content: object, provider_specific_fields: object = None) -> None:
        """Take the other members of a call's fragment.

        Args:
            number: The `index` of the call's events.
            extra_content: The member of this name.
            provider_specific_fields: The member of this name.
        """
        if not (extra_content or provider_specific_fields) or self._left < 0:
            return
        before = self._calls.get(number, _CallSignature())
        call = self._calls[number] = _CallSignature(
            extra_content=extra_content or before.extra_content,
            provider_specific_fields=provider_specific_fields or before.provider_specific_fields,
        )
        if call != before:
            self._spend(len(encoded(call)))

    def signature(self) -> str | None:
        """Return the signature of the answer's reasoning; `None` if it is empty, or larger than `MAX_BYTES`."""
        signature = _Signature(
            members=sorted(self._members),
            reasoning_details=self._details.joined(),
            extra_content=self._extra_content,
            calls=self._calls,
        )
        if self._left < 0 or signature == _Signature():
            return None
        text = encoded(signature)
        return f"{_PREFIX}{text}" if len(text.encode()) <= MAX_BYTES else None

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            self._details = _Details()
            self._calls.clear()


def members_of(blocks: Iterable[PastReasoning]) -> tuple[Body, Mapping[int, Body]]:
    """Return the members that send reasoning back.

    Args:
        blocks: The blocks of reasoning of an earlier turn.

    Returns:
        Members of the assistant message, and, by the index of a call, members of its calls.
    """
    message: Body = {}
    calls: dict[int, Body] = {}
    for block in blocks:
        signature = _read(block.get("signature", ""))
        if signature is None:
            continue
        for member in signature.members:
            message[member] = message.get(member, "") + block["text"]
        if signature.reasoning_details:
            message["reasoning_details"] = [*message.get("reasoning_details", ()), *signature.reasoning_details]
        if signature.extra_content is not None:
            message["extra_content"] = signature.extra_content
        calls |= {number: msgspec.to_builtins(call) for number, call in signature.calls.items()}
    return message, calls


def _read(signature: str) -> _Signature | None:
    if not signature.startswith(_PREFIX):
        return None
    try:
        return _decode(signature.removeprefix(_PREFIX))
    except (msgspec.DecodeError, RecursionError):
        return None


def _is_thought(extra_content: object) -> bool:
    """Return whether this is Gemini's mark of a delta as thinking, which does not apply to the whole message."""
    if not isinstance(extra_content, dict):
        return False
    vendors = cast("Mapping[str, object]", extra_content).values()
    return any(cast("dict[str, object]", each).get("thought") for each in vendors if isinstance(each, dict))


class _Detail:
    """One of OpenRouter's `reasoning_details`, joined from its fragments."""

    __slots__ = ("_fields", "_texts", "message")

    def __init__(self, message: int) -> None:
        self.message = message
        """The number of the delta in which it began."""
        self._fields: dict[str, object] = {}
        self._texts: dict[str, list[str]] = {}
        """The fragments of each text. They are joined only at the end, because that takes linear time."""

    def has_id(self, detail_id: object) -> bool:
        """Return whether a fragment with this id can belong to the detail."""
        known = self._fields.get("id")
        return known is None or detail_id is None or known == detail_id

    def add(self, fragment: Mapping[str, object]) -> int:
        """Add a fragment, and return by how many characters the detail has grown."""
        grown = 0
        for name, value in fragment.items():
            if name in _JOINED and isinstance(value, str):
                texts = self._texts.setdefault(name, [])
                # If encrypted data is repeated, it is not a further part.
                if name != "data" or texts != [value]:
                    texts.append(value)
                    grown += len(value)
            elif name not in self._fields or (value is not None and value != self._fields[name]):
                self._fields[name] = value
                grown += len(name) + len(encoded(value))
        return grown

    def joined(self) -> dict[str, Any]:
        return {**self._fields, **{name: "".join(texts) for name, texts in self._texts.items()}}


class _Details:
    """All `reasoning_details` of an answer, in order."""

    def __init__(self) -> None:
        self._details: list[_Detail] = []
        self._latest: dict[str, _Detail] = {}
        self._message = 0

    def __len__(self) -> int:
        return len(self._details)

    def add(self, fragments: object) -> int:
        """Add the details of a delta, and return by how much all details have grown."""
        self._message += 1
        told = cast("list[object]", fragments) if isinstance(fragments, list) else []
        return sum(self._add(cast("dict[str, object]", each)) for each in told if isinstance(each, dict))

    def joined(self) -> list[dict[str, Any]]:
        return [detail.joined() for detail in self._details]

    def _add(self, fragment: dict[str, object]) -> int:
        index, detail_id = fragment.get("index"), fragment.get("id")
        place = f"{fragment.get('type')} {detail_id if index is None else index}"
        detail = self._latest.get(place)
        if (
            detail
            and detail.has_id(detail_id)
            and (index is not None or detail_id is not None or self._goes_on(detail))
        ):
            return detail.add(fragment)
        detail = self._latest[place] = _Detail(self._message)
        self._details.append(detail)
        return _DETAIL_BYTES + detail.add(fragment)

    def _goes_on(self, detail: _Detail) -> bool:
        """Return whether a fragment without index and id continues a detail, the last one of an earlier delta."""
        return detail is self._details[-1] and detail.message < self._message
