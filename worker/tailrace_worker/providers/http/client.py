"""The HTTP client that all providers share: what it does more than the SDKs' own."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, suppress
from typing import Any, Final

import aiohttp
import httpx2

from tailrace_worker.providers.client_options import NO_KEY
from tailrace_worker.providers.http.redirects import stay_there

_MAX_OTHER_BYTES: Final = 65_536
"""How much is read of what is no answer, such as an error."""


class Resending(httpx2.AsyncClient):
    """Sends a request once more where the connection is closed at once in place of an answer."""

    def __init__(self, *, closed_seconds: float, **options: Any) -> None:
        """`closed_seconds` is how soon a connection that was closed already is found to be; `options` are the SDK's."""
        super().__init__(**options)
        self._closed_seconds = closed_seconds

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        sent_at = time.monotonic()
        try:
            return await super().send(request, **options)
        except httpx2.TransportError as error:
            # A server may close a connection just as the next request goes out on it; aiohttp sends no POST again. One
            # that took its time may have worked on the request, and count it.
            if not _was_closed(error.__cause__) or time.monotonic() - sent_at > self._closed_seconds:
                raise
        return await super().send(request, **options)


def _was_closed(cause: BaseException | None) -> bool:
    """Whether a connection was there, and no answer came by it."""
    return isinstance(cause, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError) and not isinstance(
        cause, aiohttp.ClientConnectorError
    )


async def _without_key(request: httpx2.Request) -> None:
    if request.headers.get("authorization") == f"Bearer {NO_KEY}":
        del request.headers["authorization"]


async def _bound(response: httpx2.Response) -> None:
    # The SDKs read an error's body to its end before they tell of it, however large it is.
    if not (response.is_success and response.request.method == "POST"):
        response.stream = _Beginning(response)
        response.headers.pop("content-encoding", None)


EVENT_HOOKS: Final[Mapping[str, list[Callable[..., Any]]]] = {
    "request": [_without_key],
    "response": [stay_there, _bound],
}


class _Beginning(httpx2.AsyncByteStream):
    """The first bytes of a body, decoded, as far as they can be had: its status counts without them."""

    def __init__(self, response: httpx2.Response) -> None:
        self._whole = httpx2.Response(response.status_code, headers=response.headers, stream=response.stream)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = _MAX_OTHER_BYTES
        with suppress(Exception):
            async with aclosing(self._whole.aiter_bytes()) as chunks:
                async for chunk in chunks:
                    yield chunk[:left]
                    left -= len(chunk)
                    if left <= 0:
                        break

    async def aclose(self) -> None:
        await self._whole.aclose()
