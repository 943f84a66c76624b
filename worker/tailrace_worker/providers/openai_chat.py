"""OpenAI's Chat Completions, and whatever else speaks that protocol: vLLM, Ollama, llama.cpp, gateways."""

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Final

import httpx2
from msgspec import structs
from openai import AsyncOpenAI, AsyncStream

from tailrace.events import Delta, FinishReason, Reasoning, Refusal
from tailrace.request import GenerationRequest
from tailrace_worker.coalescer import Coalescer
from tailrace_worker.provider import Alive, Finish, Piece, text_delta
from tailrace_worker.providers import chat_wire as wire
from tailrace_worker.providers.chat_calls import ChatCalls
from tailrace_worker.providers.chat_input import body
from tailrace_worker.providers.chat_reasoning import GivenBack
from tailrace_worker.providers.endpoint import Body, Endpoint
from tailrace_worker.providers.failures import ErrorEvent, Failures
from tailrace_worker.providers.finish_words import finish_reason
from tailrace_worker.providers.fragments import Differs, Fragments
from tailrace_worker.providers.json_decoder import members
from tailrace_worker.providers.token_counts import Places, used
from tailrace_worker.providers.tool_calls import ToolCalls
from tailrace_worker.providers.vocabulary import Skipped

_FINISH_WORDS: Final[Mapping[str, FinishReason]] = {"tool_calls": "tool_calls", "function_call": "tool_calls"}
"""The words whose meaning is not told by what they say."""

_COUNTS: Final[Places] = {
    "input_tokens": [("prompt_tokens",)],
    "output_tokens": [("completion_tokens",)],
    "cached_input_tokens": [("prompt_tokens_details", "cached_tokens"), ("prompt_cache_hit_tokens",)],
    "cache_write_input_tokens": [("prompt_tokens_details", "cache_write_tokens")],
    "reasoning_tokens": [("completion_tokens_details", "reasoning_tokens")],
}


class OpenAIChat:
    """A provider of the kind `openai`."""

    prefills = False

    def __init__(
        self,
        client: AsyncOpenAI,
        failures: Failures,
        coalescer: Coalescer,
        *,
        limit: str = "max_completion_tokens",
        is_openais: bool = False,
    ) -> None:
        """Make the adapter of a server.

        Args:
            client: The SDK's.
            failures: Tells what goes wrong.
            coalescer: Wakes who reads.
            limit: The server's name for the most tokens that it may give.
            is_openais: Whether it is OpenAI's own.
        """
        self._client = client
        self._limit = limit
        self._is_openais = is_openais
        self._endpoint = Endpoint(failures, self._post, coalescer)

    def stream(self, request: GenerationRequest) -> AsyncGenerator[Piece | Alive, None]:
        """Makes one call, as `Provider` says."""
        past_calls = sum(
            len(message.get("tool_calls", ())) for message in request.messages if message["role"] == "assistant"
        )
        asked = body(request, limit=self._limit, is_openais=self._is_openais)
        return self._endpoint.call(asked, _Answer(self._endpoint.skipped, past_calls))

    async def _post(self, body: Body) -> httpx2.Response:
        stream = await self._client.post(
            "/chat/completions", cast_to=object, body=body, stream=True, stream_cls=AsyncStream[object]
        )
        return stream.response


class _Answer:
    def __init__(self, skipped: Skipped, past_calls: int = 0) -> None:
        """`past_calls` were made in earlier turns."""
        self.is_whole = False
        self.is_over = False
        self.finished = False
        self._skipped = skipped
        self._finish: str | None = None
        """The provider's last word on why it stopped."""
        self._text = Fragments()
        self._thinking = Fragments()
        self._refusal = Fragments()
        self._calls = ToolCalls(past_calls)
        self._given_back = GivenBack()
        self._fragments = ChatCalls(self._calls, self._given_back)

    def whole(self, body: bytes) -> Iterable[Piece]:
        pieces = self.pieces(body)
        self.is_whole = self._has_content
        return pieces

    def done(self) -> None:
        self.is_whole = self.is_whole or self._has_content
        self.is_over = True

    def pieces(self, data: bytes, name: bytes = b"") -> Iterable[Piece]:
        try:
            said = wire.decode(data)
        except ValueError:
            if _is_content(name):
                raise
            return ()
        if said.error:
            raise ErrorEvent(said.error)
        if said.choices is None and not said.usage:
            return self._other(data, said)
        pieces: list[Piece] = []
        for choice in said.choices or ():
            self._read(choice, said, pieces)
        if said.usage:
            pieces += used(said.usage, _COUNTS)
        return pieces

    def end(self) -> Iterator[Piece]:
        word = self._finish or ""
        reason = finish_reason(word, _FINISH_WORDS)
        self.finished = True
        for kind, text in ((Reasoning, self._thinking), (Delta, self._text), (Refusal, self._refusal)):
            if half := text.end():
                yield kind(text=half)
        yield from self._calls.end()
        if signature := self._given_back.signature():
            yield Reasoning(text="", signature=signature)
        if reason == "stop":
            # Calls that `tool_choice` has forced are a `stop` on this wire, and so is a refusal.
            reason = "tool_calls" if self._calls else "refusal" if self._refusal else "stop"
        yield Finish(reason=reason, provider_reason=word)

    @property
    def _has_content(self) -> bool:
        return self._finish is not None or bool(self._text or self._thinking or self._refusal or self._calls)

    def _other(self, body: bytes, said: wire.Completion) -> Iterable[Piece]:
        if said.object == "error":
            other = wire.decode_other(body)
            raise ErrorEvent({"code": other.code, "message": other.message})
        if members(said.base_resp).get("status_code"):
            raise ErrorEvent({"base_resp": said.base_resp})
        if said.object:
            self._skipped.add(str(said.object))
        return ()

    def _read(self, choice: wire.Choice, said: wire.Completion, pieces: list[Piece]) -> None:
        word = choice.finish_reason
        if choice.delta:
            self._take(choice.delta, pieces)
        if choice.message:
            if said.object == "chat.completion" or word:
                self._take_whole(choice.message, pieces)
            else:
                self._take(choice.message, pieces)
        if word:
            self._finish = str(word)
            self.is_whole = True

    def _take(self, message: wire.Message, pieces: list[Piece]) -> None:
        """A fragment of the answer has come."""
        self._given_back.see(message)
        thought = message.reasoning_content or message.reasoning
        if isinstance(thought, str) and (text := self._thinking.add(thought)):
            pieces.append(Reasoning(text=text))
        content = message.content
        if isinstance(content, str):
            if text := self._text.add(content):
                pieces.append(text_delta(text))
        elif content:
            pieces += self._parts(content)
        if message.refusal and (text := self._refusal.add(message.refusal)):
            pieces.append(Refusal(text=text))
        for number, call in enumerate(_listed(message.tool_calls)):
            pieces += self._fragments.fragment(number, call)

    def _take_whole(self, message: wire.Message, pieces: list[Piece]) -> None:
        """The answer has come as a whole, perhaps after its fragments."""
        begun = len(self._calls)
        if self._text and isinstance(message.content, list):
            message.content = "".join(part.text or "" for part in message.content)
        if self._text or self._thinking or self._refusal:
            for kind, told, text in (
                (Reasoning, self._thinking, message.reasoning_content or message.reasoning),
                (Delta, self._text, message.content),
                (Refusal, self._refusal, message.refusal),
            ):
                # A text that was edited after it was streamed stays as it was streamed.
                with suppress(Differs):
                    if isinstance(text, str) and (rest := told.rest(text)):
                        pieces.append(kind(text=rest))
        else:
            self._take(structs.replace(message, tool_calls=None), pieces)
        pieces += self._fragments.whole(_listed(message.tool_calls), begun=begun)

    def _parts(self, parts: Iterable[wire.Part]) -> Iterator[Piece]:
        for part in parts:
            if part.text and (text := self._text.add(part.text)):
                yield text_delta(text)
            thinking = part.thinking or ()
            thought = thinking if isinstance(thinking, str) else "".join(each.text or "" for each in thinking)
            if thought and (text := self._thinking.add(thought)):
                yield Reasoning(text=text)


def _is_content(name: bytes) -> bool:
    """Whether an event of this name is a part of the answer. OpenAI gives its events no name."""
    return name in {b"", b"message", b"data", b"delta", b"chunk", b"completion"} or name.startswith(b"chat.completion")


def _listed(calls: list[wire.ToolCall] | wire.ToolCall | None) -> list[wire.ToolCall]:
    return [calls] if isinstance(calls, wire.ToolCall) else calls or []
