"""Applies the guards of a request: to the answer as it comes, and to the request's own messages."""

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, Final, NamedTuple, TypeAlias, cast

from tailrace.errors import InvalidRequest
from tailrace.events import Delta, Notice
from tailrace.guards import EVERY_CHARS, Guard, Moderate
from tailrace.messages import Message
from tailrace.request import GenerationRequest
from tailrace_worker.provider import Finish, Piece
from tailrace_worker.shaping.block import Blockade, block
from tailrace_worker.shaping.clean import Cleaner, clean
from tailrace_worker.shaping.kinds import rules_of
from tailrace_worker.shaping.max_chars import max_chars
from tailrace_worker.shaping.moderate import Judge, Moderation, moderate
from tailrace_worker.shaping.redact import Redaction, notices, redact
from tailrace_worker.shaping.search import Rules
from tailrace_worker.shaping.texts import Watch, in_turns

_INPUT_STRETCH_CHARS: Final = 4_000
"""Messages are there all at once: it takes fewer verdicts on them than on text that somebody waits for."""

_Change: TypeAlias = Callable[[str], str]


class Guarded(NamedTuple):
    """A request that its guards let through."""

    request: GenerationRequest
    notices: Sequence[Notice]
    """What readers are told: how much was redacted, and whether something was not judged."""


def shielded(
    pieces: AsyncGenerator[Piece, None], guards: Iterable[Guard], *, judge: Judge, said: str = ""
) -> AsyncGenerator[Piece, None]:
    """The pieces of an answer, as far as the guards let them through, one after another.

    `said` is the text that stands from earlier attempts. Who judges what is shown already stands behind all others:
    before `max_chars` it would be stopped with the provider, and leave the last of it unjudged.

    Raises:
        InvalidRequest: A pattern is none for RE2.
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
                pieces = clean(pieces)
            case "redact":
                counted.append(Counter())
                pieces = redact(pieces, rules_of(guard), said=said, counts=counted[-1])
            case "block":
                pieces = block(pieces, rules_of(guard), said=said)
            case "moderate":
                pieces = moderate(pieces, _moderation(guard, judge), said=said)
    return pieces


async def guarded(request: GenerationRequest, guards: Iterable[Guard], *, judge: Judge) -> Guarded:
    """The request with the texts of its messages as the guards leave them. Each message's is a text for itself.

    Raises:
        InvalidRequest: The texts have more characters than `max_chars` lets through; or a pattern is none for RE2.
        ProviderError: `block` or `moderate` do not let them through.
    """
    told: list[Notice] = []
    for guard in guards:
        match guard["type"]:
            case "max_chars":
                chars = sum(map(len, _texts(request)))
                if chars > guard["limit"]:
                    raise InvalidRequest(
                        f"The messages have {chars:,} characters and their guard's limit is {guard['limit']:,}."
                    )
            case "clean":
                request = _changed(request, lambda text: _through(Cleaner(), text))
            case "redact":
                counts = Counter[str]()
                request = _changed(request, _redacting(rules_of(guard), counts))
                told += notices(counts)
            case "block":
                rules = rules_of(guard)
                for text in _texts(request):
                    _through(Blockade(rules), text)
            case "moderate":
                moderation = _moderation({**guard, "every_chars": _INPUT_STRETCH_CHARS, "mode": "lenient"}, judge)
                async for piece in moderate(_spoken(_texts(request)), moderation):
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


def _through(watch: Watch, text: str) -> str:
    return "".join(chain(watch.feed(text), watch.end()))


async def _spoken(texts: Iterable[str]) -> AsyncGenerator[Piece, None]:
    for text in texts:
        yield Delta(text=f"{text}\n\n")
    yield Finish(reason="stop", provider_reason="")


def _texts(request: GenerationRequest) -> list[str]:
    texts: list[str] = []

    def noted(text: str) -> str:
        texts.append(text)
        return text

    _changed(request, noted)
    return texts


def _changed(request: GenerationRequest, change: _Change) -> GenerationRequest:
    """The request with its texts changed. Calls of tools in earlier turns stay: their arguments are JSON."""
    return request.model_copy(update={"messages": [_message(message, change) for message in request.messages]})


def _message(message: Message, change: _Change) -> Message:
    fields: dict[str, Any] = dict(message)
    content = fields.get("content")
    if isinstance(content, str):
        fields["content"] = change(content)
    elif content is not None:
        fields["content"] = [_part(part, change) for part in content]
    if "reasoning" in fields:
        fields["reasoning"] = [_thought(thought, change) for thought in fields["reasoning"]]
    return cast("Message", fields)


def _part(part: dict[str, Any], change: _Change) -> dict[str, Any]:
    return {**part, "text": change(part["text"])} if part["type"] == "text" else part


def _thought(thought: dict[str, Any], change: _Change) -> dict[str, Any]:
    # With a signature that no longer fits, the provider would refuse it; without one it is left out.
    text = change(thought["text"])
    return thought if text == thought["text"] else {"text": text}
