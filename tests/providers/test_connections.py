"""Connections to a provider: warm before the first call, used again after an answer, closed where one is left."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import openai
import pytest
from aiohttp import web

from tailrace.errors import FailureCode, ProviderError
from tailrace.events import Delta
from tailrace.support import API_KINDS, ApiKind
from tailrace_worker.providers import endpoint, open_providers, opening
from tests.providers.wire import asking
from tests.providers.wire_server import SHORTEST, providers_at, serving

all_kinds = pytest.mark.parametrize("kind", API_KINDS)


class Doors:
    """Answers, and remembers through which connection it was asked for what."""

    def __init__(self, answer: bytes) -> None:
        self.calls: list[int] = []
        self.warmed: list[int] = []
        self._answer = answer

    async def handle(self, request: web.Request) -> web.Response:
        assert request.transport
        port: int = request.transport.get_extra_info("peername")[1]
        if request.method == "OPTIONS":
            self.warmed.append(port)
            return web.Response(status=404)
        self.calls.append(port)
        return web.Response(body=self._answer, content_type="text/event-stream")


@asynccontextmanager
async def warmed() -> AsyncGenerator[None]:
    """Until every connection that is warmed is there."""
    warming = [task for task in asyncio.all_tasks() if task.get_name().startswith("warm ")]
    await asyncio.wait(warming, timeout=5)
    yield


@all_kinds
async def test_the_first_call_finds_a_warm_connection(kind: ApiKind, monkeypatch: pytest.MonkeyPatch) -> None:
    doors = Doors(SHORTEST[kind])
    async with providers_at(doors.handle, monkeypatch) as providers, warmed():
        assert [piece async for piece in providers[kind].stream(asking(kind))]

    assert doors.calls[0] in doors.warmed


async def test_each_address_is_warmed_once_however_many_providers_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    doors = Doors(b"")
    async with providers_at(doors.handle, monkeypatch), warmed():
        pass

    assert len(set(doors.warmed)) == len(doors.warmed) == opening._WARM_CONNECTIONS


async def test_a_server_that_cannot_be_warmed_hurts_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for owner in ("OPENAI", "ANTHROPIC"):
        monkeypatch.setenv(f"{owner}_BASE_URL", "http://127.0.0.1:1/")
        monkeypatch.setenv(f"{owner}_API_KEY", "a-key")
    async with open_providers({}) as providers, warmed():
        assert set(providers) == set(API_KINDS)


@all_kinds
async def test_a_connection_is_used_again_once_its_answer_is_finished(
    kind: ApiKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_WARM_CONNECTIONS", 0)
    doors = Doors(SHORTEST[kind])
    async with providers_at(doors.handle, monkeypatch) as providers:
        for _ in range(3):
            assert [piece async for piece in providers[kind].stream(asking(kind))]

    assert len(doors.calls) == 3
    assert len(set(doors.calls)) == 1


@all_kinds
async def test_an_answer_that_is_left_closes_its_connection_at_once(
    kind: ApiKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = asyncio.Event()
    beginning = SHORTEST[kind].partition(b"\n\n")[0].replace(b'"finish_reason": "stop"', b'"finish_reason": null')

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        if request.method == "OPTIONS":
            return response
        await response.write(beginning + b"\n\n")
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        return response

    async with providers_at(handle, monkeypatch) as providers:
        pieces = providers[kind].stream(asking(kind))
        assert await anext(pieces) == Delta(text="Hi")
        await pieces.aclose()
        await asyncio.wait_for(left.wait(), 5)


@all_kinds
async def test_an_error_without_an_end_is_told_by_its_beginning(kind: ApiKind, monkeypatch: pytest.MonkeyPatch) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=403)
        await response.prepare(request)
        while request.method == "POST":
            await response.write(b"So it is. " * 1_000)
        return response

    async with serving(handle, monkeypatch), open_providers({}) as providers, asyncio.timeout(10):
        with pytest.raises(ProviderError, match="answered 403: So it is"):
            assert not [piece async for piece in providers[kind].stream(asking(kind))]


@all_kinds
async def test_a_redirect_without_an_end_is_followed_or_told(kind: ApiKind, monkeypatch: pytest.MonkeyPatch) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=307, headers={"location": "/again"})
        await response.prepare(request)
        while request.method == "POST":
            await response.write(b"Over there. " * 1_000)
        return response

    async with serving(handle, monkeypatch), open_providers({}) as providers, asyncio.timeout(10):
        with pytest.raises(ProviderError) as raised:
            assert not [piece async for piece in providers[kind].stream(asking(kind))]

    assert raised.value.code is FailureCode.PROVIDER_UNAVAILABLE


async def test_bytes_are_read_right_off_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an SDK builds its transport in another way, answers still come, but each piece costs half as much again."""
    doors = Doors(b"data: a\n\n")
    async with (
        serving(doors.handle, monkeypatch) as url,
        openai.DefaultAioHttpClient() as client,
        client.stream("GET", url) as response,
    ):
        read: Any = endpoint._raw_body(response)
        assert isinstance(read.__self__, aiohttp.StreamReader)
        assert await read() == b"data: a\n\n"
        assert await read() == b""
