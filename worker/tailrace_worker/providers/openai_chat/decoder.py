"""`ChatDecoder`: decodes the answers of Chat Completions, also of other servers than OpenAI's."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, cast

from tailrace.events import Delta, FinishReason, Reasoning, Refusal
from tailrace_worker.providers.annotations import cited
from tailrace_worker.providers.base import Finish, Piece, text_delta
from tailrace_worker.providers.citations import Citations
from tailrace_worker.providers.error_body import ErrorBody, is_error
from tailrace_worker.providers.errors import ErrorEvent
from tailrace_worker.providers.finish_words import finish_reason
from tailrace_worker.providers.fragments import Differs, Fragments, paired
from tailrace_worker.providers.json_decoder import loaded, members
from tailrace_worker.providers.openai_chat import wire
from tailrace_worker.providers.openai_chat.calls import ChatCalls
from tailrace_worker.providers.openai_chat.reasoning import GivenBack
from tailrace_worker.providers.openai_chat.sources import sources
from tailrace_worker.providers.token_counts import Places, used
from tailrace_worker.providers.tool_calls import ToolCalls
from tailrace_worker.providers.vocabulary import Skipped

_FINISH_WORDS: Final[Mapping[str, FinishReason]] = {"tool_calls": "tool_calls", "function_call": "tool_calls"}
"""The words with a fixed meaning; `finish_reason` interprets all others."""

_UNFINISHED: Final = ("null", "none", "None", "not_finished", "FINISH_REASON_UNSPECIFIED")
"""Placeholders for a missing finish reason: Alibaba's, two that Python servers send, IBM's, and Google's."""

_COUNTS: Final[Places] = {
    "input_tokens": [("prompt_tokens",)],
    "output_tokens": [("completion_tokens",)],
    "cached_input_tokens": [("prompt_tokens_details", "cached_tokens"), ("prompt_cache_hit_tokens",)],
    "cache_write_input_tokens": [("prompt_tokens_details", "cache_write_tokens")],
    "reasoning_tokens": [("completion_tokens_details", "reasoning_tokens")],
}


class ChatDecoder:
    """A decoder of one answer, as `AnswerDecoder` describes it."""

    def __init__(self, skipped: Skipped, past_calls: int = 0) -> None:
        """Begin an answer. `past_calls` is the number of tool calls in earlier turns."""
        self.is_whole = False
        self.is_over = False
        self.finished = False
        self._skipped = skipped
        self._finish: str | None = None
        """The last finish reason that the provider sent."""
        self._text = Fragments()
        self._thinking = Fragments()
        self._refusal = Fragments()
        self._calls = ToolCalls(past_calls)
        self._citations = Citations()
        self._sources: tuple[object, object] = (None, None)
        """The last lists of sources that the provider sent beside its choices."""
        self._given_back = GivenBack()
        self._fragments = ChatCalls(self._calls, self._given_back)

    def whole(self, body: bytes) -> Iterable[Piece]:
        pieces = self.pieces(body)
        self.is_whole = self._has_content
        if not self.is_whole:
            if not (thing := loaded(body)):
                raise ValueError("The body has no answer.")
            if ErrorBody.of(thing).words:
                raise ErrorEvent(thing)
        return pieces

    def done(self) -> None:
        # A gateway may also send `[DONE]` after an answer that broke off. A call whose arguments were cut shows that.
        are_cut = self._calls and not self._calls.are_complete
        self.is_whole = self.is_whole or (self._has_content and not are_cut)
        self.is_over = True

    def pieces(self, data: bytes, name: bytes = b"") -> Iterable[Piece]:
        try:
            said = wire.decode(data)
        except ValueError:
            if not _is_content(name):
                return ()
            thing = loaded(data)
            if is_error(thing):
                raise ErrorEvent(thing) from None
            if thing:
                raise
            return ()
        if said.error and any(members(said.error).values() or [True]):
            raise ErrorEvent(said.error)
        pieces: list[Piece] = []
        for choice in said.choices or ():
            self._read(choice, said, pieces)
        if said.usage:
            pieces += used(said.usage, _COUNTS)
        if said.citations or said.search_results:
            self._sources = said.citations, said.search_results
        if said.base_resp and members(said.base_resp).get("status_code") not in (None, 0, "0"):
            raise ErrorEvent({"base_resp": said.base_resp})
        if said.choices is None and not said.usage:
            self._skip(loaded(data), name)
        return pieces

    def end(self) -> Iterator[Piece]:
        word = self._finish or ""
        reason = finish_reason(word, _FINISH_WORDS)
        for kind, text in ((Reasoning, self._thinking), (Delta, self._text), (Refusal, self._refusal)):
            if half := text.end():
                yield kind(text=half)
        for source in sources(*self._sources):
            yield from self._citations.tell(source, len(self._text))
        yield from self._citations.end(len(self._text))
        yield from self._calls.end()
        if signature := self._given_back.signature():
            yield Reasoning(text="", signature=signature)
        if reason == "stop":
            # In this protocol, calls that `tool_choice` forced end with `stop`, and so does a refusal.
            reason = "tool_calls" if self._calls else "refusal" if self._refusal else "stop"
        self.finished = True
        yield Finish(reason=reason, provider_reason=word)

    @property
    def _has_content(self) -> bool:
        return self._finish is not None or bool(self._text or self._thinking or self._refusal or self._calls)

    def _skip(self, thing: object, name: bytes) -> None:
        """Skip an event without an answer; raise it if it is an error."""
        said = {key: value for key, value in members(thing).items() if value}
        kind = str(said.get("object", ""))
        if kind == "error" or (_is_content(name) and _is_complaint(said)):
            raise ErrorEvent(thing)
        if kind:
            self._skipped.add(kind)

    def _read(self, choice: wire.Choice, said: wire.Completion, pieces: list[Piece]) -> None:
        word = choice.finish_reason
        if choice.delta:
            self._take(choice.delta, pieces)
        if choice.message:
            if word or said.object == "chat.completion":
                self._take_whole(choice.message, pieces)
            elif choice.delta is None:
                self._take(choice.message, pieces)
        if choice.usage and not said.usage:
            pieces += used(choice.usage, _COUNTS)
        if word and word not in _UNFINISHED:
            self._finish = paired(str(word))
            self.is_whole = True

    def _take(self, message: wire.Message, pieces: list[Piece]) -> None:
        """Take a fragment of the answer."""
        self._given_back.see(message)
        thought = message.reasoning_content or message.reasoning
        if isinstance(thought, str) and (text := self._thinking.add(thought)):
            pieces.append(Reasoning(text=text))
        content = message.content
        if isinstance(content, str):
            if text := self._text.add(content):
                pieces.append(text_delta(text))
        elif content:
            for kind, told, part in self._parts(content):
                if text := told.add(part):
                    pieces.append(kind(text=text))
        if message.refusal and isinstance(message.refusal, str) and (text := self._refusal.add(message.refusal)):
            pieces.append(Refusal(text=text))
        if message.annotations:
            self._cite(message, pieces)
        if message.tool_calls or message.function_call:
            calls = message.calls()
            for number, call in enumerate(calls):
                pieces += self._fragments.fragment(number if len(calls) > 1 else None, call)

    def _take_whole(self, message: wire.Message, pieces: list[Piece]) -> None:
        """Take the answer as a whole, perhaps after its fragments."""
        self._given_back.see(message, is_whole=True)
        parts = list(self._parts(message.content))
        thought = message.reasoning_content or message.reasoning
        if not isinstance(thought, str):
            thought = "".join(text for kind, _, text in parts if kind is Reasoning)
        content = "".join(text for kind, _, text in parts if kind is Delta)
        refusal = message.refusal if isinstance(message.refusal, str) else ""
        for kind, told, text in (
            (Reasoning, self._thinking, thought),
            (Delta, self._text, content),
            (Refusal, self._refusal, refusal),
        ):
            # The server may have edited the text since. Readers keep what was streamed.
            with suppress(Differs):
                if len(text) > len(told) and (rest := told.rest(text)):
                    pieces.append(kind(text=rest))
        self._cite(message, pieces)
        pieces += self._fragments.whole(message.calls())

    def _cite(self, message: wire.Message, pieces: list[Piece]) -> None:
        annotations = message.annotations
        for annotation in cast("list[object]", annotations) if isinstance(annotations, list) else ():
            if citation := cited(annotation):
                pieces += self._citations.tell(citation, len(self._text))

    def _parts(self, content: object) -> Iterator[tuple[type[Delta | Reasoning], Fragments, str]]:
        """Yield each text of a content, with its type of event and the fragments that it continues."""
        for part in cast("list[object]", content) if isinstance(content, list) else [content]:
            text, thinking = members(part).get("text", part), members(part).get("thinking")
            if isinstance(text, str):
                yield Delta, self._text, text
            if thinking:
                yield Reasoning, self._thinking, "".join(text for _, _, text in self._parts(thinking))


def _is_content(name: bytes) -> bool:
    """Return whether an event with this name is part of the answer. OpenAI's events have no names."""
    return name in {b"", b"message", b"data", b"delta", b"chunk", b"completion"} or name.startswith(b"chat.completion")


def _is_complaint(said: Mapping[str, Any]) -> bool:
    """Return whether an event is an error of FastAPI, of Cloudflare, or of a gateway that always sends a code."""
    names = said.keys()
    has_words = not names.isdisjoint({"message", "msg"})
    return not names.isdisjoint({"detail", "errors"}) or (has_words and said.get("code") not in (None, 200, "200"))
