"""The bytes of an answer, as they come."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, Protocol

import httpx2

from tailrace_worker.providers.http.aiohttp_fast_path import Tap
from tailrace_worker.providers.http.wake_batcher import Coalescer


class Inflow(Protocol):
    """The body of an answer."""

    is_patient: bool
    """Whether who reads may be woken a little later, together with those who read other answers."""

    async def read(self) -> bytes:
        """What has come, as soon as there is anything; `b""` at the end."""
        ...


@asynccontextmanager
async def open_inflow(response: httpx2.Response, coalescer: Coalescer) -> AsyncGenerator[Inflow]:
    """The body of an answer, of which nothing was read yet; closed at the exit."""
    try:
        if Tap.fits(beneath := _beneath(response)):
            with Tap(beneath, coalescer) as tap:
                yield tap
        else:
            async with aclosing(response.aiter_bytes()) as chunks:
                yield _Chunks(chunks)
    finally:
        with suppress(Exception):
            await response.aclose()


def _beneath(response: Any) -> Any:
    # aiohttp's response lies under the SDK's transport. The three generators in between take as long for a piece as all
    # that is done with it; all that they would do is to decompress it.
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
