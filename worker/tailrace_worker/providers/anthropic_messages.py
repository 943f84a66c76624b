"""Anthropic's Messages."""

from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Final, cast

from anthropic import AsyncAnthropic, DefaultAioHttpClient, omit
from anthropic.types import (
    MessageParam,
    RawContentBlockDeltaEvent,
    RawContentBlockStartEvent,
    RawMessageStreamEvent,
)

from tailrace.events import Delta, FinishReason, Reasoning, ToolCall
from tailrace.request import GenerationRequest
from tailrace_worker.provider import Finish, Piece, Usage
from tailrace_worker.providers.endpoint import LIMITS, TIMEOUT, Endpoint

DEFAULT_MAX_TOKENS: Final = 4_096
"""Messages needs a limit; this one holds where the request gives none."""

_FINISH_REASONS: Final[Mapping[str, FinishReason]] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "refusal",
}
"""Every other word is a `stop`."""


class AnthropicMessages:
    """The provider `anthropic`.

    Raises:
        ProviderError: `PROVIDER_NOT_CONFIGURED`: credentials that cannot be read, or a base URL that is none. That
            there is no key shows only in `stream`: the SDK looks for credentials in other places as well.
    """

    def __init__(self) -> None:
        self._endpoint = Endpoint(
            "Anthropic",
            key_variables=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
            url_variable="ANTHROPIC_BASE_URL",
        )
        with self._endpoint.calling():
            http_client = DefaultAioHttpClient(timeout=TIMEOUT, limits=LIMITS)
            self._client = AsyncAnthropic(max_retries=0, timeout=TIMEOUT, http_client=http_client)

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        """Makes one streaming call, as `Provider` says. System messages go first, wherever they stood."""
        with self._endpoint.calling():
            events = await self._client.messages.create(
                model=request.model,
                system="\n\n".join(each["content"] for each in request.messages if each["role"] == "system") or omit,
                messages=[cast("MessageParam", each) for each in request.messages if each["role"] != "system"],
                max_tokens=request.max_output_tokens or DEFAULT_MAX_TOKENS,
                stop_sequences=request.stop or omit,
                stream=True,
                # The SDK has no parameters for these any more; the models that know them still do.
                extra_body=request.model_dump(include={"temperature", "top_p"}, exclude_none=True),
            )
        answer = _Answer()
        with self._endpoint.reading(answer):
            async with events:
                async for event in events:
                    for piece in answer.pieces(event):
                        yield piece

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.close()


class _Answer:
    def __init__(self) -> None:
        self.finished = False
        self._stop_reason = ""
        self._tools: dict[int, int] = {}
        """The index of a tool call, by the index of its block: other blocks have input as well."""

    def pieces(self, event: RawMessageStreamEvent) -> Iterator[Piece]:
        match event.type:
            case "message_start":
                # Its output tokens are those of the first piece at most: what was used is said at the end.
                yield Usage(input_tokens=event.message.usage.input_tokens)
            case "content_block_start":
                yield from self._block(event)
            case "content_block_delta":
                yield from self._delta(event)
            case "message_delta":
                self._stop_reason = event.delta.stop_reason or self._stop_reason
                yield Usage(input_tokens=event.usage.input_tokens, output_tokens=event.usage.output_tokens)
            case "message_stop":
                self.finished = True
                yield Finish(reason=_FINISH_REASONS.get(self._stop_reason, "stop"), provider_reason=self._stop_reason)
            case _:
                return

    def _block(self, event: RawContentBlockStartEvent) -> Iterator[Piece]:
        block = event.content_block
        if block.type == "tool_use":
            index = self._tools.setdefault(event.index, len(self._tools))
            yield ToolCall(index=index, call_id=block.id, name=block.name)
        elif block.type == "text" and block.text:
            yield Delta(text=block.text)
        elif block.type == "thinking" and block.thinking:
            yield Reasoning(text=block.thinking)

    def _delta(self, event: RawContentBlockDeltaEvent) -> Iterator[Piece]:
        delta = event.delta
        if delta.type == "text_delta" and delta.text:
            yield Delta(text=delta.text)
        elif delta.type == "thinking_delta" and delta.thinking:
            yield Reasoning(text=delta.thinking)
        elif delta.type == "input_json_delta" and delta.partial_json and event.index in self._tools:
            yield ToolCall(index=self._tools[event.index], arguments=delta.partial_json)
