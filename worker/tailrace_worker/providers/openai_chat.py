"""OpenAI's Chat Completions, and whatever speaks the same protocol behind `OPENAI_BASE_URL`."""

from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any, Final, cast

from openai import AsyncOpenAI, DefaultAioHttpClient, omit
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam
from openai.types.chat.chat_completion_chunk import Choice

from tailrace.events import Delta, FinishReason, Refusal, ToolCall
from tailrace.request import GenerationRequest
from tailrace_worker.provider import Finish, Piece, Usage
from tailrace_worker.providers.endpoint import LIMITS, TIMEOUT, Endpoint

_FINISH_REASONS: Final[Mapping[str, FinishReason]] = {
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
"""Every other word is a `stop`."""


class OpenAIChat:
    """The provider `openai`.

    Raises:
        ProviderError: `PROVIDER_NOT_CONFIGURED`: no `OPENAI_API_KEY`, or a base URL that is none.
    """

    def __init__(self) -> None:
        self._endpoint = Endpoint(
            "OpenAI", key_variables=("OPENAI_API_KEY", "OPENAI_ADMIN_KEY"), url_variable="OPENAI_BASE_URL"
        )
        with self._endpoint.calling():
            http_client = DefaultAioHttpClient(timeout=TIMEOUT, limits=LIMITS)
            self._client = AsyncOpenAI(max_retries=0, timeout=TIMEOUT, http_client=http_client)

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        """Makes one streaming call, as `Provider` says."""
        with self._endpoint.calling():
            chunks = await self._client.chat.completions.create(
                model=request.model,
                messages=cast("list[ChatCompletionMessageParam]", request.messages),
                max_completion_tokens=omit if request.max_output_tokens is None else request.max_output_tokens,
                temperature=omit if request.temperature is None else request.temperature,
                top_p=omit if request.top_p is None else request.top_p,
                stop=request.stop or omit,
                stream=True,
                stream_options={"include_usage": True},
            )
        answer = _Answer()
        with self._endpoint.reading(answer):
            async with chunks:
                async for chunk in chunks:
                    for piece in answer.pieces(chunk):
                        yield piece

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.close()


class _Answer:
    def __init__(self) -> None:
        self.finished = False
        self._refused = False

    def pieces(self, chunk: ChatCompletionChunk) -> Iterator[Piece]:
        # A chunk of a kind that the SDK does not know has none of these attributes.
        known = cast("Any", chunk)
        choices: list[Choice] | None = getattr(known, "choices", None)
        for choice in choices or ():
            if self.finished:
                break
            yield from self._content(choice)
            if choice.finish_reason:
                self.finished = True
                yield Finish(reason=self._reason(choice.finish_reason), provider_reason=choice.finish_reason)
        usage = getattr(known, "usage", None)
        if usage is not None:
            yield Usage(input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens)

    def _content(self, choice: Choice) -> Iterator[Piece]:
        delta = choice.delta
        if delta.content:
            yield Delta(text=delta.content)
        if delta.refusal:
            self._refused = True
            yield Refusal(text=delta.refusal)
        for call in delta.tool_calls or ():
            function = call.function
            yield ToolCall(
                index=call.index,
                call_id=call.id,
                name=function.name if function else None,
                arguments=(function.arguments if function else None) or "",
            )

    def _reason(self, provider_reason: str) -> FinishReason:
        # A refusal has no word of its own on this wire: it is a `stop` after text of refusal.
        return _FINISH_REASONS.get(provider_reason, "refusal" if self._refused else "stop")
