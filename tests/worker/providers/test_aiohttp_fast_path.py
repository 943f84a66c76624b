"""Bytes right off the connection under the SDK: all of them, in order, and no more than can be held."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import openai
import pytest
from aiohttp.client_proto import ResponseHandler

from tailrace.errors import FailureCode, ProviderError
from tailrace.events import Delta
from tailrace_worker.providers.base import Finish, Piece, Provider
from tailrace_worker.providers.http.aiohttp_fast_path import FastPath
from tailrace_worker.providers.http.body import open_inflow
from tailrace_worker.providers.http.wake_batcher import WakeBatcher
from tests.support.eventually import eventually
from tests.support.raw_server import CHUNKED, END, HEAD, Peer, chunk, raw_providers
from tests.support.wire import asking, pieces_of, sse
from tests.support.wire_server import serving
from tests.worker.providers.test_connections import Doors

HI = sse({"choices": [{"index": 0, "delta": {"content": "Hi"}}]})
LAST = sse({"choices": [{"index": 0, "finish_reason": "stop"}]}) + b"data: [DONE]\n\n"


def stream(provider: Provider) -> AsyncGenerator[Piece, None]:
    return pieces_of(provider, asking("openai"))


async def heard(provider: Provider) -> tuple[list[str], FailureCode | None]:
    """The texts that came, and what ended them if that was not the end."""
    texts: list[str] = []
    try:
        async with asyncio.timeout(10):
            texts.extend([piece.text async for piece in stream(provider) if isinstance(piece, Delta)])
    except ProviderError as error:
        return texts, error.code
    return texts, None


@pytest.fixture
def untapped(monkeypatch: pytest.MonkeyPatch) -> None:
    def fits(response: object) -> bool:
        return False

    monkeypatch.setattr(FastPath, "fits", fits)


async def test_an_answer_is_tapped_where_it_is_one_of_aiohttp(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an SDK builds its transport in another way, answers still come, but each piece costs half as much again."""
    doors = Doors(b"data: a\n\n")
    async with (
        serving(doors.handle, monkeypatch) as url,
        openai.DefaultAioHttpClient() as client,
        client.stream("GET", url) as response,
        open_inflow(response, WakeBatcher(interval_ms=0)) as body,
    ):
        assert isinstance(body, FastPath)
        assert await body.read() == b"data: a\n\n"
        assert await body.read() == b""
        assert await body.read() == b""


@pytest.mark.usefixtures("untapped")
async def test_any_other_answer_is_read_as_the_sdk_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED, chunk(HI), chunk(HI + LAST), END)

    async with raw_providers(serve, monkeypatch) as providers:
        assert await heard(providers["openai"]) == (["Hi", "Hi"], None)


@pytest.mark.parametrize("encoding", ["chunks", "length", "end"])
async def test_an_answer_that_has_come_as_a_whole_before_it_is_read_is_read_as_a_whole(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = HI + HI + LAST

    async def serve(peer: Peer) -> None:
        await peer.request()
        match encoding:
            case "chunks":
                await peer.say(CHUNKED, chunk(HI), chunk(HI), chunk(LAST), END)
            case "length":
                await peer.say(HEAD, b"content-length: %d\r\n\r\n" % len(body), body)
            case _:
                await peer.say(HEAD, b"\r\n", body)

    async with raw_providers(serve, monkeypatch) as providers:
        assert await heard(providers["openai"]) == (["Hi", "Hi"], None)


@pytest.mark.parametrize("rest", [b"zz\r\n", b"-1\r\n", b"\x00\x00\r\n", b"HTTP/1.1 502 Bad Gateway\r\n\r\n"])
async def test_chunks_that_are_none_break_an_answer_off_at_once(rest: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED, chunk(HI))
        await read.wait()
        await peer.say(rest)
        await peer.left()

    read = asyncio.Event()
    async with raw_providers(serve, monkeypatch) as providers, asyncio.timeout(10):
        pieces = stream(providers["openai"])
        assert await anext(pieces) == Delta(text="Hi")
        read.set()
        with pytest.raises(ProviderError) as raised:
            await anext(pieces)

    assert raised.value.code is FailureCode.PROVIDER_INTERRUPTED


@pytest.mark.parametrize(("end", "code"), [(b"", FailureCode.PROVIDER_INTERRUPTED), (chunk(LAST), None)])
async def test_what_came_before_a_cut_is_read_though_nobody_read_then(
    end: bytes, code: FailureCode | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[BaseException] = []
    broken_off = asyncio.Event()
    tell = FastPath.set_exception

    def set_exception(self: FastPath, error: BaseException) -> None:
        tell(self, error)
        told.append(error)
        broken_off.set()

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED, chunk(HI))
        await read.wait()
        await peer.say(chunk(HI), chunk(HI), end)

    monkeypatch.setattr(FastPath, "set_exception", set_exception)
    read = asyncio.Event()
    texts: list[str] = []
    async with raw_providers(serve, monkeypatch) as providers, asyncio.timeout(10):
        try:
            async for piece in stream(providers["openai"]):
                if isinstance(piece, Delta):
                    texts.append(piece.text)
                read.set()
                await broken_off.wait()
        except ProviderError as error:
            assert error.code is code
        else:
            assert code is None

    assert texts == ["Hi", "Hi", "Hi"]
    assert len(told) == 1


@pytest.mark.slow
async def test_who_does_not_read_is_sent_no_more_than_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    pause = ResponseHandler.pause_reading
    paused = asyncio.Event()

    def seen_to_pause(connection: ResponseHandler) -> None:
        pause(connection)
        paused.set()

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED, chunk(HI))
        for _ in range(200):
            await peer.say(chunk(HI * 400))
        await peer.say(chunk(LAST), END)

    monkeypatch.setattr(ResponseHandler, "pause_reading", seen_to_pause)
    async with raw_providers(serve, monkeypatch) as providers, asyncio.timeout(20):
        pieces = stream(providers["openai"])
        assert await anext(pieces) == Delta(text="Hi")
        # Nothing is read meanwhile: what comes fills the sockets' buffers, and no more.
        await paused.wait()
        texts = [piece.text async for piece in pieces if isinstance(piece, Delta)]

    assert len(texts) == 80_000


async def test_a_connection_is_used_again_and_does_not_gather_who_has_read_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used: set[ResponseHandler] = set()
    connections = 0
    fits = FastPath.fits

    def seen(response: Any) -> bool:
        used.add(response.connection.protocol)
        return fits(response)

    async def serve(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        while True:
            await peer.request()
            await peer.say(CHUNKED, chunk(HI))
            await read.wait()
            await peer.say(chunk(LAST), END)

    monkeypatch.setattr(FastPath, "fits", seen)
    read = asyncio.Event()
    async with raw_providers(serve, monkeypatch) as providers, asyncio.timeout(10):
        for _ in range(5):
            read.clear()
            async for _piece in stream(providers["openai"]):
                read.set()
        (connection,) = used
        closed: Any = connection.closed
        assert len(closed._callbacks) <= 2  # noqa: SLF001 - a future tells it nowhere else
    assert connections == 1


class HeldWakeBatcher(WakeBatcher):
    """Wakes nobody until it is told to."""

    def __init__(self) -> None:
        super().__init__(interval_ms=0)
        self.waiters: list[asyncio.Future[None]] = []

    def wake(self, waiter: asyncio.Future[None]) -> None:
        self.waiters.append(waiter)

    def wake_all(self) -> None:
        for waiter in self.waiters:
            super().wake(waiter)


async def test_from_the_second_piece_on_answers_are_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = asyncio.Event()

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.say(CHUNKED, chunk(HI))
        await go_on.wait()
        await peer.say(chunk(LAST), END)

    async def read(provider: Provider) -> None:
        async for piece in stream(provider):
            came.put_nowait(piece)

    came: asyncio.Queue[Piece] = asyncio.Queue()
    wake_batcher = HeldWakeBatcher()
    async with (
        raw_providers(serve, monkeypatch, wake_batcher) as providers,
        asyncio.timeout(10),
        asyncio.TaskGroup() as both,
    ):
        for _ in range(2):
            both.create_task(read(providers["openai"]))
        assert [await came.get(), await came.get()] == [Delta(text="Hi")] * 2
        go_on.set()
        await eventually(lambda: len(wake_batcher.waiters) == 2)
        assert came.empty()
        wake_batcher.wake_all()
        assert {type(await came.get()), type(await came.get())} == {Finish}
