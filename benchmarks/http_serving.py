"""The servers that `gateway` compares, each under uvicorn in a process of its own.

*usual* is what one writes without tailrace: FastAPI, sse-starlette, and for each reader a connection to Redis with a
blocking `XREAD`. It sends the same JSON.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import uvicorn
import uvloop
from fastapi import FastAPI, Request
from redis.asyncio import Redis
from sse_starlette import EventSourceResponse, ServerSentEvent

from benchmarks.process import answer
from tailrace import Settings
from tailrace.events import ENDINGS
from tailrace.gateway import GatewaySettings, create_app
from tailrace.gateway.server import GatewayServer, listen
from tailrace.protocol.entries import decode
from tailrace.protocol.keys import Keys

GATEWAY: Final = "gateway"
USUAL: Final = "usual"

_MAX_CONNECTIONS: Final = 100_000
_COUNT: Final = 100


def usual(redis_url: str) -> FastAPI:
    """The usual way."""
    keys = Keys(Settings.read().prefix)
    redis: Any = Redis.from_url(redis_url, max_connections=_MAX_CONNECTIONS)  # pyright: ignore[reportUnknownMemberType]

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        yield
        await redis.aclose()

    app = FastAPI(lifespan=lifespan)

    @app.get("/v1/jobs/{job_id}/events")
    async def events(job_id: str, request: Request) -> EventSourceResponse:  # pyright: ignore[reportUnusedFunction]
        async def read() -> AsyncIterator[ServerSentEvent]:
            stream, cursor = keys.events(job_id).encode(), request.headers.get("last-event-id", "0").encode()
            while True:
                for _, entries in await redis.xread({stream: cursor}, count=_COUNT, block=0):
                    for entry_id, fields in entries:
                        cursor = entry_id
                        event = decode(entry_id, fields)
                        if event is not None:
                            yield ServerSentEvent(event.to_json(), event=event.type, id=str(event.id))
                            if event.type in ENDINGS:
                                return

        return EventSourceResponse(read())

    return app


async def main(way: str, redis_url: str) -> None:
    """Runs the process, until nobody is left who asks."""
    # It tells that its end is not graceful.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    with listen("127.0.0.1", 0) as listening:
        if way == GATEWAY:
            server: uvicorn.Server = GatewayServer(create_app(settings=GatewaySettings.read(redis_url=redis_url)))
        else:
            server = uvicorn.Server(uvicorn.Config(usual(redis_url), log_config=None, access_log=False))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        port: int = listening.getsockname()[1]
        await asyncio.to_thread(answer, {"port": lambda: port})
        # The clients are gone.
        server.should_exit = server.force_exit = True
        await serving


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
