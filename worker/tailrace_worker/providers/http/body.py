"""The bytes of an answer, as they arrive."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, Protocol

import httpx2

from tailrace_worker.providers.http.aiohttp_fast_path import FastPath
from tailrace_worker.providers.http.wake_batcher import WakeBatcher


class Inflow(Protocol):
    """The body of an answer."""

    is_patient: bool
    """True if the task that reads may be woken a little later, together with tasks that read other answers."""

    async def read(self) -> bytes:
        """Wait for a chunk, and return all bytes that have arrived; `b""` at the end of the body."""
        ...


@asynccontextmanager
async def open_inflow(response: httpx2.Response, wake_batcher: WakeBatcher) -> AsyncGenerator[Inflow]:
    """Open the body of an answer, and close the response at the exit.

    Args:
        response: The response. Nothing of its body was read yet.
        wake_batcher: Decides when the task that reads is woken.

    Yields:
        The body.
    """
    try:
        if FastPath.fits(beneath := _beneath(response)):
            with FastPath(beneath, wake_batcher) as fast_path:
                yield fast_path
        else:
            async with aclosing(response.aiter_bytes()) as chunks:
                yield _Chunks(chunks)
    finally:
        with suppress(Exception):
            await response.aclose()


def _beneath(response: Any) -> Any:
    # aiohttp's response is below the SDK's transport. The three generators in between take as much time per chunk as
    # all of the worker's own work, and would only decompress it.
    if "content-encoding" in response.headers:
        return None
    bound = getattr(response.stream, "_stream", None)
    return getattr(bound, "_aiohttp_response", None)


class _Chunks:
    is_patient = False

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks

    async def read(self) -> bytes:
        async for chunk in self._chunks:
            if chunk:
                return chunk
        return b""
