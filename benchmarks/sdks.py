"""The official SDKs as the benchmarks call them: one question, streamed."""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

import httpx2
import openai

from benchmarks.stand import PROMPT

_MAX_TOKENS: Final = 4_096


class Raw(Protocol):
    """A response as the bytes that come in."""

    def iter_bytes(self) -> AsyncIterator[bytes]: ...


class SDK(Protocol):
    """One API by its official SDK, both ways."""

    def raw(self, model: str) -> AbstractAsyncContextManager[Raw]:
        """Calls, and leaves the answer to the caller."""
        ...

    def texts(self, model: str) -> AsyncGenerator[str]:
        """Calls, and yields the texts of the typed events."""
        ...


class Chat:
    """OpenAI's Chat Completions."""

    def __init__(self, http_client: httpx2.AsyncClient | None) -> None:
        self._completions = openai.AsyncOpenAI(http_client=http_client).chat.completions

    def raw(self, model: str) -> AbstractAsyncContextManager[Raw]:
        return self._completions.with_streaming_response.create(
            model=model,
            messages=[{"role": "user", "content": PROMPT}],
            stream=True,
            stream_options={"include_usage": True},
        )

    async def texts(self, model: str) -> AsyncGenerator[str]:
        async with await self._completions.create(
            model=model,
            messages=[{"role": "user", "content": PROMPT}],
            stream=True,
            stream_options={"include_usage": True},
        ) as chunks:
            async for chunk in chunks:
                for choice in chunk.choices:
                    if choice.delta.content:
                        yield choice.delta.content


class Responses:
    """OpenAI's Responses."""

    def __init__(self, http_client: httpx2.AsyncClient | None) -> None:
        self._responses = openai.AsyncOpenAI(http_client=http_client).responses

    def raw(self, model: str) -> AbstractAsyncContextManager[Raw]:
        return self._responses.with_streaming_response.create(model=model, input=PROMPT, stream=True)

    async def texts(self, model: str) -> AsyncGenerator[str]:
        async with await self._responses.create(model=model, input=PROMPT, stream=True) as events:
            async for event in events:
                if event.type == "response.output_text.delta":
                    yield event.delta


class Messages:
    """Anthropic's Messages."""

    def __init__(self, http_client: httpx2.AsyncClient | None) -> None:
        # It takes seconds to load, and only this one needs it.
        import anthropic  # noqa: PLC0415

        self._messages = anthropic.AsyncAnthropic(http_client=http_client).messages

    def raw(self, model: str) -> AbstractAsyncContextManager[Raw]:
        return self._messages.with_streaming_response.create(
            model=model, messages=[{"role": "user", "content": PROMPT}], max_tokens=_MAX_TOKENS, stream=True
        )

    async def texts(self, model: str) -> AsyncGenerator[str]:
        async with await self._messages.create(
            model=model, messages=[{"role": "user", "content": PROMPT}], max_tokens=_MAX_TOKENS, stream=True
        ) as events:
            async for event in events:
                if event.type == "content_block_delta" and event.delta.type == "text_delta":
                    yield event.delta.text


SDKS: Final[dict[str, Callable[[httpx2.AsyncClient | None], SDK]]] = {
    "openai": Chat,
    "openai-responses": Responses,
    "anthropic": Messages,
}
"""By the kind of the provider's API. An SDK without an HTTP client of the caller's makes its own."""


def point_sdks_at(url: str) -> None:
    """Let the SDKs of this process, and of those that it starts from now on, call a server.

    Args:
        url: The URL of the server, without a path.
    """
    os.environ.update(
        OPENAI_API_KEY="key-of-the-benchmark",
        OPENAI_BASE_URL=f"{url}/v1",
        ANTHROPIC_API_KEY="key-of-the-benchmark",
        ANTHROPIC_BASE_URL=url,
        NO_PROXY="127.0.0.1",
    )
