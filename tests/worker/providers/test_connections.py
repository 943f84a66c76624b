"""Connections to a provider: warm before the first call, used again after an answer, closed where one is left."""

import asyncio
import gzip
import json
import socket
import ssl
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext

import aiohttp
import httpx2
import pytest
from aiohttp import web
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.test_utils import TestServer

from tailrace.api_kinds import API_KINDS, ApiKind
from tailrace.errors import FailureCode, ProviderError
from tailrace.events import Delta
from tailrace_worker.providers import open_providers
from tailrace_worker.providers.http.connection_limits import ConnectionLimits
from tailrace_worker.providers.http.redirects import RedirectedElsewhere, stay_there
from tailrace_worker.providers.sdks import openai_sdk
from tests.support.wire import asking
from tests.support.wire_server import CERTIFICATE, SHORTEST, providers_at, serving

COLD = ConnectionLimits(warm_connections=0)
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


def close(request: web.Request, *, reset: bool = False) -> None:
    """Closes the connection that the request came by."""
    assert request.transport
    if reset:
        linger = struct.pack("ii", 1, 0)
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    request.transport.close()


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


@all_kinds
async def test_over_tls_calls_find_warm_connections_and_leave_them_so(
    kind: ApiKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(CERTIFICATE)
    doors = Doors(SHORTEST[kind])
    async with serving(doors.handle, monkeypatch, tls=tls), open_providers({}) as providers, warmed():
        for _ in range(ConnectionLimits().warm_connections + 1):
            assert Delta(text="Hi") in [piece async for piece in providers[kind].stream(asking(kind))]

    assert len(doors.calls) > len(doors.warmed)
    assert set(doors.calls) <= set(doors.warmed)


async def test_each_address_is_warmed_once_however_many_providers_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    doors = Doors(b"")
    async with providers_at(doors.handle, monkeypatch), warmed():
        pass

    assert len(set(doors.warmed)) == len(doors.warmed) == ConnectionLimits().warm_connections


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
    doors = Doors(SHORTEST[kind])
    async with providers_at(doors.handle, monkeypatch, connections=COLD) as providers:
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
@pytest.mark.parametrize("way", ["closed", "reset"])
async def test_a_connection_that_is_closed_as_a_request_arrives_costs_no_try(
    way: str, kind: ApiKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    doors = Doors(SHORTEST[kind])

    async def handle(request: web.Request) -> web.Response:
        answer = await doors.handle(request)
        if len(doors.calls) == 2:
            close(request, reset=way == "reset")
        return answer

    async with providers_at(handle, monkeypatch, connections=COLD) as providers:
        for _ in range(2):
            assert [piece async for piece in providers[kind].stream(asking(kind))]

    first, second, third = doors.calls
    assert first == second != third


@all_kinds
@pytest.mark.parametrize(("closed_seconds", "times"), [(10, 2), (0, 1)])
async def test_a_request_that_is_not_answered_is_sent_twice_where_that_shows_at_once(
    kind: ApiKind, closed_seconds: float, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that takes its time may have worked on it."""
    connections = ConnectionLimits(warm_connections=0, closed_seconds=closed_seconds)
    doors = Doors(b"")

    async def handle(request: web.Request) -> web.Response:
        close(request)
        return await doors.handle(request)

    async with providers_at(handle, monkeypatch, connections=connections) as providers:
        with pytest.raises(ProviderError, match="cannot be reached") as raised:
            assert not [piece async for piece in providers[kind].stream(asking(kind))]

    assert raised.value.code is FailureCode.PROVIDER_UNAVAILABLE
    assert raised.value.retryable
    assert len(doors.calls) == times


@pytest.mark.parametrize(
    ("cause", "times"),
    [
        (aiohttp.ServerDisconnectedError(), 2),
        (aiohttp.ClientOSError(104, "Connection reset by peer"), 2),
        (aiohttp.ClientConnectorError(ConnectionKey("a", 1, False, True, None, None, None), OSError("refused")), 1),
        (aiohttp.SocketTimeoutError(), 1),
        (aiohttp.ClientPayloadError(), 1),
        (None, 1),
    ],
    ids=lambda value: None if isinstance(value, int) else type(value).__name__,
)
async def test_only_what_a_closed_connection_swallowed_is_sent_again(cause: Exception | None, times: int) -> None:
    sent: list[httpx2.Request] = []

    async def fail(request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        raise httpx2.ConnectTimeout("") from cause

    async with openai_sdk.OpenAIHttpClient(
        closed_seconds=1, transport=httpx2.MockTransport(fail), trust_env=False
    ) as client:
        with pytest.raises(httpx2.ConnectTimeout):
            await client.post("http://provider.test/", json={})

    assert len(sent) == times


@all_kinds
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_an_error_whose_body_is_cut_or_garbled_keeps_its_status(
    encoding: str, kind: ApiKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        headers = {"retry-after": "7", "content-length": "400", "content-encoding": encoding}
        response = web.StreamResponse(status=429, headers=headers)
        await response.prepare(request)
        await response.write(b'{"error":')
        close(request)
        return response

    async with providers_at(handle, monkeypatch) as providers:
        with pytest.raises(ProviderError, match="answered 429") as raised:
            assert not [piece async for piece in providers[kind].stream(asking(kind))]

    assert raised.value.code is FailureCode.PROVIDER_RATE_LIMITED
    assert raised.value.retry_after_seconds == 7


@all_kinds
async def test_an_error_that_is_compressed_is_told_in_its_words(kind: ApiKind, monkeypatch: pytest.MonkeyPatch) -> None:
    body = gzip.compress(json.dumps({"error": {"message": "So it is."}}).encode())

    async def handle(_: web.Request) -> web.Response:
        return web.Response(status=403, body=body, headers={"content-encoding": "gzip"})

    async with providers_at(handle, monkeypatch) as providers:
        with pytest.raises(ProviderError, match="answered 403: So it is"):
            assert not [piece async for piece in providers[kind].stream(asking(kind))]


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


@all_kinds
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_sends_no_prompt_and_no_key_to_another_server(
    kind: ApiKind, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    came: list[str] = []

    async def hear(request: web.Request) -> web.StreamResponse:
        came.append(await request.text())
        return web.Response(body=SHORTEST[kind], headers={"content-type": "text/event-stream"})

    other = web.Application()
    other.router.add_route("*", "/{path:.*}", hear)
    async with TestServer(other, host="127.0.0.1") as elsewhere:

        async def handle(request: web.Request) -> web.StreamResponse:
            return web.Response(status=status, headers={"location": str(elsewhere.make_url("/"))})

        async with serving(handle, monkeypatch), open_providers({}) as providers, asyncio.timeout(10):
            with pytest.raises(
                ProviderError, match=r"redirects calls to another server, http://127\.0\.0\.1"
            ) as raised:
                assert not [piece async for piece in providers[kind].stream(asking(kind))]
    assert not came
    assert raised.value.code is FailureCode.PROVIDER_NOT_CONFIGURED
    assert not raised.value.retryable


@pytest.mark.parametrize(
    ("called", "location", "is_followed"),
    [
        ("http://a.test/v1", "/v2", True),
        ("http://a.test/v1", "http://a.test:80/v2", True),
        ("http://a.test/v1", "https://a.test/v1", True),
        ("https://a.test/v1", "http://a.test/v1", False),
        ("https://a.test/v1", "https://a.test:8443/v1", False),
        ("https://a.test/v1", "https://b.test/v1", False),
        ("https://a.test/v1", "//b.test/v1", False),
    ],
)
async def test_a_redirect_is_followed_on_the_same_server_only(called: str, location: str, is_followed: bool) -> None:
    response = httpx2.Response(307, headers={"location": location}, request=httpx2.Request("POST", called))
    with nullcontext() if is_followed else pytest.raises(RedirectedElsewhere):
        await stay_there(response)


@all_kinds
async def test_an_error_has_the_id_by_which_the_provider_finds_the_call(
    kind: ApiKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = "request-id" if kind == "anthropic" else "x-request-id"
    answers = iter([(400, "req_1"), (200, "req_2"), (400, "no id, but a prompt")])

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.method != "POST":
            return web.Response()
        status, request_id = next(answers)
        headers = {header: request_id, "content-type": "text/event-stream" if status == 200 else "application/json"}
        return web.Response(
            status=status, body=b"event: error\ndata: {}\n\n" if status == 200 else b"{}", headers=headers
        )

    async with serving(handle, monkeypatch), open_providers({}) as providers, asyncio.timeout(10):
        for expected in ("req_1", "req_2", None):
            with pytest.raises(ProviderError) as raised:
                assert not [piece async for piece in providers[kind].stream(asking(kind))]
            assert raised.value.request_id == expected
