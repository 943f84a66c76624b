"""`BodyLimit`: refuses request bodies that are larger than the settings allow."""

from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tailrace.gateway.errors import ErrorCode, ErrorResponse

_CLOSE: Final = {"Connection": "close"}
"""The rest of the body is not read, so the connection cannot be used again."""


class BodyLimit:
    """ASGI middleware that refuses large bodies, by their declared length or while they arrive.

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
        left = self._max_bytes

        async def limited() -> Message:
            nonlocal left
            message = await receive()
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
