"""Applies the guards of a request to the answer, piece by piece, and to the request's own messages."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, Final, NamedTuple, TypeAlias, cast

from tailrace.errors import InvalidRequest
from tailrace.events import Delta, Notice
from tailrace.request.generation_request import GenerationRequest
from tailrace.request.guards import EVERY_CHARS, Guard, Moderate
from tailrace.request.messages import Message
from tailrace_worker.providers.base import Finish, Piece
from tailrace_worker.shaping.guards.block import Blockade, block
from tailrace_worker.shaping.guards.clean import Cleaner, clean
from tailrace_worker.shaping.guards.compiler import RulesOf
from tailrace_worker.shaping.guards.max_chars import max_chars
from tailrace_worker.shaping.guards.moderate import Judge, Moderation, moderate
from tailrace_worker.shaping.guards.redact import Redaction, notices, redact
from tailrace_worker.shaping.guards.rules import Rules
from tailrace_worker.shaping.guards.texts import TURN_CHARS, TextWatch, in_turns, looked

_INPUT_STRETCH_CHARS: Final = 4_000
"""How many characters of the messages are judged at a time. The messages are complete, so larger stretches delay no
reader and need fewer verdicts."""
_MESSAGES_AT_ONCE: Final = 100

_Change: TypeAlias = Callable[[str], Awaitable[str]]


class Guarded(NamedTuple):
    """A request that its guards have let through."""

    request: GenerationRequest
    notices: Sequence[Notice]
    """The notices for readers: how much was redacted, and whether some text was not judged."""


def shielded(
    pieces: AsyncGenerator[Piece, None], guards: Iterable[Guard], *, rules_of: RulesOf, judge: Judge, said: str = ""
) -> AsyncGenerator[Piece, None]:
    """Apply the guards to an answer, one after another.

    A lenient `moderate` comes after all other guards, because it judges text that is shown already. Before `max_chars`,
    it would be stopped together with the provider, and the last text would not be judged.

    Args:
        pieces: The pieces of the answer.
        guards: The guards.
        rules_of: Their compiled rules.
        judge: Judges texts for `moderate`.
        said: The text of earlier attempts that this one continues.

    Returns:
        The pieces that the guards let through.
    """
    counted: list[Counter[str]] = []
    guards = sorted(guards, key=_is_lenient)
    if guards:
        pieces = in_turns(pieces)
    for guard in guards:
        match guard["type"]:
            case "max_chars":
                pieces = max_chars(pieces, guard["limit"], said=said, report=partial(_told, tuple(counted)))
            case "clean":
                pieces = clean(pieces, said_chars=len(said))
            case "redact":
                counted.append(Counter())
                pieces = redact(pieces, rules_of(guard), said=said, counts=counted[-1])
            case "block":
                pieces = block(pieces, rules_of(guard), said=said)
            case "moderate":
                pieces = moderate(pieces, _moderation(guard, judge), said=said)
    return pieces


async def guarded(request: GenerationRequest, guards: Iterable[Guard], *, rules_of: RulesOf, judge: Judge) -> Guarded:
    """Apply the guards to the messages of a request. Each text of a message is searched separately.

    Args:
        request: The request.
        guards: The guards.
        rules_of: Their compiled rules.
        judge: Judges texts for `moderate`.

    Returns:
        The request with the changed texts, and notices for readers.

    Raises:
        InvalidRequest: The texts have more characters than `max_chars` allows.
        ProviderError: `block` or `moderate` stops the request.
    """
    told: list[Notice] = []
    for guard in guards:
        match guard["type"]:
            case "max_chars":
                chars = sum(map(len, await _texts(request)))
                if chars > guard["limit"]:
                    raise InvalidRequest(
                        f"The messages have {chars:,} characters, but the limit of their guard max_chars is "
                        f"{guard['limit']:,}: shorten them, or raise the limit."
                    )
            case "clean":
                request = await _changed(request, lambda text: _through(Cleaner(), text))
            case "redact":
                counts = Counter[str]()
                request = await _changed(request, _redacting(rules_of(guard), counts))
                told += notices(counts)
            case "block":
                rules = rules_of(guard)
                for text in await _texts(request):
                    await _through(Blockade(rules), text)
            case "moderate":
                moderation = _moderation({**guard, "every_chars": _INPUT_STRETCH_CHARS, "mode": "lenient"}, judge)
                async for piece in moderate(_spoken(await _texts(request)), moderation):
                    if isinstance(piece, Notice):
                        told.append(piece)
    return Guarded(request, told)


def _is_lenient(guard: Guard) -> bool:
    return guard["type"] == "moderate" and guard.get("mode") == "lenient"


def _told(counted: Iterable[Counter[str]]) -> Iterator[Notice]:
    return chain.from_iterable(map(notices, counted))


def _moderation(guard: Moderate, judge: Judge) -> Moderation:
    return Moderation(
        judge=judge,
        every_chars=guard.get("every_chars", EVERY_CHARS),
        mode=guard.get("mode", "strict"),
        on_failure=guard.get("on_failure", "closed"),
    )


def _redacting(rules: Rules, counts: Counter[str]) -> _Change:
    return lambda text: _through(Redaction(rules, counts), text)


async def _through(watch: TextWatch, text: str) -> str:
    shown: list[str] = []
    for place in range(0, len(text), TURN_CHARS):
        shown += await looked(watch, watch.feed(text[place : place + TURN_CHARS]))
        if len(text) > TURN_CHARS:
            await asyncio.sleep(0)
    shown += await looked(watch, watch.end())
    return "".join(shown)


async def _spoken(texts: Iterable[str]) -> AsyncGenerator[Piece, None]:
    for text in texts:
        yield Delta(text=f"{text}\n\n")
    yield Finish(reason="stop", provider_reason="")


async def _texts(request: GenerationRequest) -> list[str]:
    texts: list[str] = []

    async def noted(text: str) -> str:
        texts.append(text)
        return text

    await _changed(request, noted)
    return texts


async def _changed(request: GenerationRequest, change: _Change) -> GenerationRequest:
    """Return the request with its texts changed. Tool calls of earlier turns stay, because their arguments are JSON."""
    messages: list[Message] = []
    for number, message in enumerate(request.messages, 1):
        messages.append(await _message(message, change))
        if number % _MESSAGES_AT_ONCE == 0:
            await asyncio.sleep(0)
    return request.model_copy(update={"messages": messages})


async def _message(message: Message, change: _Change) -> Message:
    fields: dict[str, Any] = dict(message)
    content = fields.get("content")
    if isinstance(content, str):
        fields["content"] = await change(content)
    elif content is not None:
        fields["content"] = [await _part(part, change) for part in content]
    if "reasoning" in fields:
        fields["reasoning"] = [await _thought(thought, change) for thought in fields["reasoning"]]
    return cast("Message", fields)


async def _part(part: dict[str, Any], change: _Change) -> dict[str, Any]:
    return {**part, "text": await change(part["text"])} if part["type"] == "text" else part


async def _thought(thought: dict[str, Any], change: _Change) -> dict[str, Any]:
    # A provider would reject changed reasoning with its old signature. Without one, the reasoning is left out.
    text = await change(thought["text"])
    return thought if text == thought["text"] else {"text": text}
