"""`FaultyCall`: a call of a provider that answers it wrongly, in whatever form."""

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tailrace.api_kinds import ApiKind
from tests.support.proxy import RESET
from tests.support.raw_server import Peer
from tests.support.whole_answers import WholeAnswer

PASSES: Final[Mapping[ApiKind, object]] = {
    "openai": {"error": {"message": "We had an error.", "type": "server_error", "param": None, "code": None}},
    "openai-responses": {"type": "error", "code": "server_error", "message": "We had an error.", "param": None},
    "anthropic": {"type": "error", "error": {"type": "api_error", "message": "We had an error."}},
}
"""Errors after which the same call may succeed."""
STAYS: Final[Mapping[ApiKind, object]] = {
    "openai": {"error": {"message": "Not so.", "type": "invalid_request_error", "param": None, "code": None}},
    "openai-responses": {"type": "error", "code": "invalid_prompt", "message": "Not so.", "param": None},
    "anthropic": {"type": "error", "error": {"type": "invalid_request_error", "message": "Not so."}},
}
"""Errors after which it will not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultyCall:
    """One call of the provider."""

    peer: Peer
    kind: ApiKind
    answer: WholeAnswer

    async def begin_chunks(self, content_type: str, *parts: bytes) -> None:
        """Says the headers of a chunked body, and these parts of it."""
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n"
        await self.peer.say(head.encode(), b"connection: close\r\n\r\n", *parts)

    async def stream(self, *parts: bytes) -> None:
        """Says the headers of a stream, and these parts of it."""
        await self.begin_chunks("text/event-stream", *parts)

    async def send(self, content_type: str, body: bytes, *, length: int | None = None) -> None:
        """Sends a body that is not chunked.

        Args:
            content_type: The type of the body.
            body: The bytes that are sent of it.
            length: How long the headers say that it is; by default as long as it is.
        """
        length = len(body) if length is None else length
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n"
        await self.peer.say(head.encode(), b"connection: close\r\n\r\n", body)

    async def send_page(self) -> None:
        """Sends a web page."""
        await self.send("text/html", b"<!doctype html><title>Maintenance</title><p>We are back soon.</p>")

    async def send_json(self, value: object) -> None:
        """Sends a value as JSON."""
        await self.send("application/json", json.dumps(value).encode())

    async def send_error(self, errors: Mapping[ApiKind, object]) -> None:
        """Sends one of the errors as JSON. Both of OpenAI's APIs have the same form of it then."""
        await self.send_json(errors["anthropic" if self.kind == "anthropic" else "openai"])

    def drop(self) -> None:
        """Resets the connection."""
        connection: socket.socket = self.peer.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.peer.writer.transport.abort()
