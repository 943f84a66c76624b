"""A chat endpoint with Litestar. Run it with: uvicorn examples.chat_litestar:app"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, Request, get, post
from litestar.types import ASGIApp

from tailrace import GenerationRequest, Tailrace
from tailrace.asgi import stream


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncGenerator[None]:
    async with Tailrace.connect() as app.state.tailrace:  # TAILRACE_REDIS_URL, or redis://localhost:6379/0
        yield


@post("/chat")
async def ask(request: Request[Any, Any, Any], data: dict[str, str]) -> ASGIApp:
    job = await request.app.state.tailrace.enqueue(
        GenerationRequest(provider="openai", model="gpt-5-mini", messages=[{"role": "user", "content": data["prompt"]}])
    )
    return await stream(job, request)


@get("/chat/{job_id:str}")
async def resume(request: Request[Any, Any, Any], job_id: str) -> ASGIApp:
    return await stream(request.app.state.tailrace.job(job_id), request)


app = Litestar([ask, resume], lifespan=[lifespan])
