"""A gateway that serves on the loopback, and jobs that a test runs by hand."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import httpx
import httpx_sse
from fastapi import FastAPI

from tailrace import Completed, Delta, Frames, Settings, Started
from tailrace.broker.client import Broker
from tailrace.events import StreamEvent
from tailrace.gateway import GatewaySettings
from tailrace.gateway.authentication import Authentication, AuthenticationLimits
from tailrace.gateway.context import Gateway
from tailrace.gateway.http_protocol import HttpProtocol
from tailrace.gateway.server import GatewayServer, listen
from tailrace.protocol.entries import encode
from tailrace.protocol.keys import Keys

NEW_JOB: dict[str, Any] = {"provider": "openai", "model": "m", "messages": [{"role": "user", "content": "Hi"}]}


class Received(NamedTuple):
    """An event as `httpx-sse` reads it."""

    id: str
    event: str
    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedGateway:
    """A gateway, and a client of it."""

    app: FastAPI
    url: str
    client: httpx.AsyncClient
    server: GatewayServer

    @property
    def address(self) -> tuple[str, int]:
        """For a bare socket."""
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    @property
    def connections(self) -> set[HttpProtocol]:
        """The connections that are open."""
        return {each for each in self.server.server_state.connections if isinstance(each, HttpProtocol)}

    def remember(self, limits: AuthenticationLimits) -> Authentication:
        """Forgets the keys that were read, and remembers others within these limits."""
        shared: Gateway = self.app.state.gateway
        access = shared.tailrace.access
        found = Authentication(
            access, access.api_keys, shared.capabilities, needs_keys=False, asking=asyncio.Lock(), limits=limits
        )
        self.app.state.gateway = replace(shared, authenticator=found)
        return found

    async def enqueue(self, **fields: Any) -> dict[str, Any]:
        """Enqueues a job; returns its object."""
        response = await self.client.post("/v1/jobs", json={**NEW_JOB, **fields})
        assert response.status_code == 201, response.text
        created: dict[str, Any] = response.json()
        return created

    async def events(self, path: str, **headers: str) -> list[Received]:
        """Reads a stream to its end."""
        async with asyncio.timeout(20), self.stream(path, **headers) as events:
            return [event async for event in events]

    @asynccontextmanager
    async def stream(self, path: str, **headers: str) -> AsyncGenerator[AsyncIterator[Received]]:
        """Opens a stream."""
        async with httpx_sse.aconnect_sse(self.client, "GET", path, headers=headers) as source:
            assert source.response.status_code == 200, await source.response.aread()
            yield (Received(each.id, each.event, each.data) async for each in source.aiter_sse())


@asynccontextmanager
async def served(app: FastAPI) -> AsyncGenerator[ServedGateway]:
    """Serves an application of `create_app`."""
    with listen("127.0.0.1", 0) as listening:
        server = GatewayServer(app)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            async with httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as client:
                yield ServedGateway(app=app, url=url, client=client, server=server)
        finally:
            server.should_exit = True
            await serving


def gateway_settings(settings: Settings, **changed: object) -> GatewaySettings:
    """The test's settings, with some of the gateway's own."""
    return GatewaySettings.read(**settings.model_dump(), **changed)


@dataclass(slots=True)
class HandWorker:
    """Writes what a worker would write into the stream of a job."""

    broker: Broker
    keys: Keys
    job_id: str
    attempt: int = 1
    seq: int = field(default=1)

    async def append(self, *events: StreamEvent) -> None:
        """Appends events, and rings for each."""
        for event in events:
            self.seq += 1
            await self.broker.pipeline(
                ("XADD", self.keys.events(self.job_id), "NOMKSTREAM", f"{self.attempt}-{self.seq}", *_fields(event)),
                ("PUBLISH", self.keys.bell(self.job_id), b""),
            )

    async def start(self) -> None:
        """Begins the attempt."""
        await self.append(Started(at=1, attempt=self.attempt, provider="openai", model="m", worker="w:1"))

    async def pass_on(self, *frames: bytes) -> None:
        """Appends frames of the provider."""
        for raw in frames:
            await self.append(Frames(raw=raw))

    async def say(self, *texts: str) -> None:
        """Appends text."""
        await self.append(*(Delta(text=text) for text in texts))

    async def complete(self, raw: bytes | None = None) -> None:
        """Appends the ending."""
        await self.append(Completed(at=round(time.time() * 1000), finish_reason="stop", output_tokens=3, raw=raw))

    async def run(self, *texts: str) -> None:
        """Writes a whole answer."""
        await self.start()
        await self.say(*texts)
        await self.complete()


def _fields(event: StreamEvent) -> list[str | bytes]:
    raw: bytes | None = getattr(event, "raw", None)
    framed: list[str | bytes] = [] if raw is None else ["raw", raw]
    return [*encode(event), *framed]


def data_of(event: Received) -> dict[str, Any]:
    """The public form of an event."""
    data: dict[str, Any] = json.loads(event.data)
    return data
