"""The HTTP client that all providers share, with what it adds to the SDKs' own clients."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, suppress
from typing import Any, Final

import aiohttp
import httpx2

from tailrace_worker.providers.client_options import NO_KEY
from tailrace_worker.providers.http.redirects import stay_there

_MAX_OTHER_BYTES: Final = 65_536
"""How much is read of a body that is not an answer, such as an error."""


class Resending(httpx2.AsyncClient):
    """An HTTP client that sends a request a second time if the server at once closes the connection."""

    def __init__(self, *, closed_seconds: float, **options: Any) -> None:
        """Make the client.

        Args:
            closed_seconds: How soon a connection that was closed before the request is found to be closed. A request
                that fails later is not sent again.
            options: The options of the SDK's client.
        """
        super().__init__(**options)
        self._closed_seconds = closed_seconds

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        sent_at = time.monotonic()
        try:
            return await super().send(request, **options)
        except httpx2.TransportError as error:
            # A server may close a connection just as the next request is sent on it, and aiohttp never sends a POST
            # again. If the failure came later, the server may have worked on the request, and may bill it.
            if not _was_closed(error.__cause__) or time.monotonic() - sent_at > self._closed_seconds:
                raise
        return await super().send(request, **options)


def _was_closed(cause: BaseException | None) -> bool:
    """Return whether there was a connection, and it was closed without an answer."""
    return isinstance(cause, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError) and not isinstance(
        cause, aiohttp.ClientConnectorError
    )


async def _without_key(request: httpx2.Request) -> None:
    if request.headers.get("authorization") == f"Bearer {NO_KEY}":
        del request.headers["authorization"]


async def _bound(response: httpx2.Response) -> None:
    # The SDKs read the whole body of an error before they raise it, however large the body is.
    if not (response.is_success and response.request.method == "POST"):
        response.stream = _Beginning(response)
        response.headers.pop("content-encoding", None)


EVENT_HOOKS: Final[Mapping[str, list[Callable[..., Any]]]] = {
    "request": [_without_key],
    "response": [stay_there, _bound],
}


class _Beginning(httpx2.AsyncByteStream):
    """The first bytes of a body, decoded. If reading fails, the body just ends, because the status says enough."""

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
