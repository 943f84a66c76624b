"""A provider's server, as a test wants it."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypeAlias

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tailrace.request import GenerationRequest
from tailrace_worker.provider import Provider
from tailrace_worker.providers import open_providers

KEYS = {"openai": "sk-proj-planted-for-openai", "anthropic": "sk-ant-planted-for-anthropic"}


Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[None]:
    """Points the SDKs' variables at a server that answers every request by `handler`."""
    app = web.Application()
    app.router.add_post("/{path:.*}", handler)
    async with TestServer(app, host="127.0.0.1") as server:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        for provider, key in KEYS.items():
            monkeypatch.setenv(f"{provider.upper()}_API_KEY", key)
            monkeypatch.setenv(f"{provider.upper()}_BASE_URL", str(server.make_url("/")))
        yield


@asynccontextmanager
async def providers_at(handler: Handler, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Mapping[str, Provider]]:
    """The adapters, pointed at such a server."""
    async with serving(handler, monkeypatch), open_providers() as providers:
        yield providers


def saying(body: str) -> Handler:
    """A handler that answers with an event stream."""

    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(text=body, content_type="text/event-stream")

    return handler


def asking(provider: str) -> GenerationRequest:
    """The simplest request."""
    return GenerationRequest.model_validate(
        {"provider": provider, "model": "a-model", "messages": [{"role": "user", "content": "Hi"}]}
    )
