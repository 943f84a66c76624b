"""`AccessLog`: logs one line for each request, and responds if the gateway has a defect."""

import logging
import time
from collections.abc import Awaitable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tailrace.gateway.errors import internal_error
from tailrace.tracebacks import told_by_frames

_logger = logging.getLogger("tailrace.gateway.access")

_NO_REFERRER: Final = (b"referrer-policy", b"no-referrer")
"""A URL may have a token. Without this header, a browser would send the URL to every site to which the page links."""


class AccessLog:
    """ASGI middleware that logs each request without its query, because the query may have a token.

    Args:
        app: The application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 0

        # Not a coroutine of its own, because it is called for each part of a stream.
        def noting(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], _NO_REFERRER]
            return send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as defect:  # noqa: BLE001
            _logger.error("a request failed: %s", told_by_frames(defect))  # noqa: TRY400
            if not status:
                await internal_error()(scope, receive, noting)
        finally:
            client = scope.get("client")
            # The raw path is percent-encoded, so that it cannot break the line.
            path = scope.get("raw_path", b"-").decode("ascii", "backslashreplace")
            took_ms = (time.monotonic() - began) * 1000
            _logger.info("%s %s %s %d %.0f ms", client[0] if client else "-", scope["method"], path, status, took_ms)
