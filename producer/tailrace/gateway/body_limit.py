"""`BodyLimit`: refuses request bodies that are larger than the settings allow, or arrive too slowly."""

import asyncio
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tailrace.gateway.errors import ErrorCode, ErrorResponse

_CLOSE: Final = {"Connection": "close"}
"""The rest of the body is not read, so the connection cannot be used again."""
_BODY_SECONDS: Final = 30.0
"""How long a body may take, beside the time that its bytes need."""
_BYTES_PER_SECOND: Final = 16_384
"""How fast the bytes of a body have to arrive: at the pace of a poor mobile network."""
_TOO_SLOW: Final = "The body did not arrive in time: send all of it at once."


class BodyLimit:
    """ASGI middleware that refuses large bodies, by their declared length or while they arrive, and slow ones.

    Args:
        app: The application.
        max_bytes: The size of the largest body, in bytes.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._why = f"The body has more than {max_bytes:,} bytes: shorten it, or raise TAILRACE_GATEWAY_MAX_BODY_BYTES."

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        left, is_whole = self._max_bytes, False
        deadline = asyncio.get_running_loop().time() + _BODY_SECONDS

        async def limited() -> Message:
            nonlocal left, is_whole
            try:
                taken = (self._max_bytes - left) / _BYTES_PER_SECOND
                async with asyncio.timeout_at(None if is_whole else deadline + taken):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, _TOO_SLOW, _CLOSE) from None
            is_whole = not message.get("more_body", False)
            left -= len(message.get("body", b""))
            if left < 0:
                # FastAPI passes on this kind of exception while it reads a body.
                raise HTTPException(413, self._why, _CLOSE)
            return message

        if _declared(scope) > self._max_bytes:
            await ErrorResponse(413, ErrorCode.REQUEST_TOO_LARGE, self._why, headers=_CLOSE)(scope, receive, send)
        else:
            await self._app(scope, limited, send)


def _declared(scope: Scope) -> int:
    """Return the declared length of the body, or 0."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0
