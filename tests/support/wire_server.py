"""A provider's server, as a test wants it."""

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tailrace.api_kinds import ApiKind
from tailrace_worker.providers import open_providers
from tailrace_worker.providers.base import Provider
from tailrace_worker.providers.http.connection_limits import ConnectionLimits
from tailrace_worker.settings import ProviderEntry
from tests.support.wire import sse

KEYS = {"openai": "sk-proj-planted-for-openai", "anthropic": "sk-ant-planted-for-anthropic"}
OWNERS: dict[ApiKind, str] = {"openai": "openai", "openai-responses": "openai", "anthropic": "anthropic"}
"""Whose key and base URL a provider takes."""
SHORTEST: dict[ApiKind, bytes] = {
    "openai": sse({"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}),
    "openai-responses": sse(
        {"type": "response.output_text.delta", "output_index": 0, "delta": "Hi"},
        {"type": "response.completed", "response": {"status": "completed"}},
    ),
    "anthropic": sse(
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
        {"type": "message_stop"},
    ),
}
"""An answer of each API that says `Hi`."""

CERTIFICATE = Path(__file__).with_name("localhost.pem")
"""Of 127.0.0.1, signed by itself, with its key; good for nothing but tests."""

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(
    handler: Handler, monkeypatch: pytest.MonkeyPatch, *, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[str]:
    """Points the SDKs' variables at a server that answers every request by `handler`; gives its address."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    server = TestServer(app, host="127.0.0.1")
    try:
        await server.start_server(ssl=tls)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        for owner, key in KEYS.items():
            monkeypatch.setenv(f"{owner.upper()}_API_KEY", key)
            monkeypatch.setenv(f"{owner.upper()}_BASE_URL", str(server.make_url("/")))
        yield str(server.make_url("/"))
    finally:
        await server.close()


@asynccontextmanager
async def providers_at(
    handler: Handler,
    monkeypatch: pytest.MonkeyPatch,
    entries: Mapping[str, ProviderEntry] | None = None,
    *,
    connections: ConnectionLimits | None = None,
) -> AsyncGenerator[Mapping[str, Provider]]:
    """The adapters, pointed at such a server."""
    async with serving(handler, monkeypatch), open_providers(entries or {}, connections=connections) as providers:
        yield providers
