"""OpenAI's Chat Completions, and whatever else speaks that protocol: vLLM, Ollama, llama.cpp, gateways."""

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from typing import Final

import httpx2
from openai import AsyncOpenAI, AsyncStream

from tailrace.events import FinishReason, Reasoning, Refusal, ToolCall
from tailrace.request import GenerationRequest
from tailrace_worker.coalescer import Coalescer
from tailrace_worker.provider import Finish, Piece, Usage, text_delta
from tailrace_worker.providers import chat_wire as wire
from tailrace_worker.providers.chat_input import body
from tailrace_worker.providers.endpoint import Body, Endpoint
from tailrace_worker.providers.failures import ErrorEvent, Failures
from tailrace_worker.providers.tool_calls import ToolCalls
from tailrace_worker.providers.vocabulary import Skipped

_FINISH_REASONS: Final[Mapping[str, FinishReason]] = {
    **dict.fromkeys(("length", "max_tokens", "model_length"), "length"),
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
"""Any other word is a `stop`, unless what came before says more. Not all are OpenAI's own."""
_BROKEN_OFF: Final = frozenset({"abort", "error", "insufficient_system_resource"})
"""The words of vLLM, Mistral, and DeepSeek for an answer that the server gave up."""


class OpenAIChat:
    """A provider of the kind `openai`."""

    prefills = False

    def __init__(
        self, client: AsyncOpenAI, failures: Failures, coalescer: Coalescer, *, limit: str = "max_completion_tokens"
    ) -> None:
        """`limit` is the server's name for the most tokens that it may give."""
        self._client = client
        self._limit = limit
        self._endpoint = Endpoint(failures, self._post, coalescer)

    def stream(self, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        """Makes one call, as `Provider` says."""
        past_calls = sum(
            len(message.get("tool_calls", ())) for message in request.messages if message["role"] == "assistant"
        )
        return self._endpoint.call(body(request, limit=self._limit), _Answer(self._endpoint.skipped, past_calls))

    async def _post(self, body: Body) -> httpx2.Response:
        stream = await self._client.post(
            "/chat/completions", cast_to=object, body=body, stream=True, stream_cls=AsyncStream[object]
        )
        return stream.response


class _Answer:
    def __init__(self, skipped: Skipped, past_calls: int = 0) -> None:
        """`past_calls` were made in earlier turns."""
        self.finished = False
        self._past_calls = past_calls
        self._skipped = skipped
        self._refused = False
        self._calls = ToolCalls()

    def whole(self, body: bytes) -> Iterable[Piece]:
        return self.pieces(body)

    def pieces(self, data: bytes) -> Iterable[Piece]:
        if data == b"[DONE]":
            return ()
        said = wire.decode(data)
        if said.error is not None:
            raise ErrorEvent(said.error)
        if said.choices is None and said.usage is None:
            return self._other(data)
        pieces: list[Piece] = []
        for choice in said.choices or ():
            if choice.index == 0 and not self.finished:
                self._read(choice, pieces)
        if said.usage:
            pieces.append(_usage(said.usage))
        return pieces

    def _other(self, body: bytes) -> Iterable[Piece]:
        other = wire.decode_other(body)
        if other.object == "error":
            raise ErrorEvent({"code": other.code, "message": other.message})
        self._skipped.add(other.object)
        return ()

    def _read(self, choice: wire.Choice, pieces: list[Piece]) -> None:
        message = choice.delta or choice.message
        if message:
            if thought := message.reasoning_content or message.reasoning:
                pieces.append(Reasoning(text=thought))
            if isinstance(message.content, str):
                if message.content:
                    pieces.append(text_delta(message.content))
            elif message.content:
                pieces += _parts(message.content)
            if message.refusal:
                self._refused = True
                pieces.append(Refusal(text=message.refusal))
            if message.tool_calls:
                pieces += map(self._call, range(len(message.tool_calls)), message.tool_calls)
        if choice.finish_reason:
            if choice.finish_reason in _BROKEN_OFF:
                raise ErrorEvent({"message": f"its finish_reason is {choice.finish_reason!r}"})
            self.finished = True
            # Who answers a call has to name it.
            pieces += [
                ToolCall(index=index, call_id=f"call_{self._past_calls + index}") for index in self._calls.without_id
            ]
            pieces.append(Finish(reason=self._reason(choice.finish_reason), provider_reason=choice.finish_reason))

    def _call(self, number: int, call: wire.ToolCall) -> ToolCall:
        place = number if call.index is None else call.index
        name = arguments = None
        if call.function:
            name, arguments = call.function.name, call.function.arguments
        elif call.custom:
            name, arguments = call.custom.name, call.custom.input
        # Servers repeat empty ones with every fragment.
        index, call_id = self._calls.fragment(place, call.id or None, name, arguments)
        told_id = call_id if call_id == call.id else None
        return ToolCall(index=index, call_id=told_id, name=name or None, arguments=arguments or "")

    def _reason(self, provider_reason: str) -> FinishReason:
        if reason := _FINISH_REASONS.get(provider_reason):
            return reason
        # Calls that `tool_choice` has forced are a `stop` on this wire, and so is a refusal.
        return "tool_calls" if self._calls else "refusal" if self._refused else "stop"


def _parts(parts: Iterable[wire.Part]) -> Iterator[Piece]:
    for part in parts:
        if part.text:
            yield text_delta(part.text)
        if thought := "".join(each.text or "" for each in part.thinking or ()):
            yield Reasoning(text=thought)


def _usage(usage: wire.Usage) -> Usage:
    read, written = usage.prompt_tokens_details, usage.completion_tokens_details
    return Usage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        cached_input_tokens=read.cached_tokens if read else None,
        reasoning_tokens=written.reasoning_tokens if written else None,
    )
