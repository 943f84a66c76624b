"""A chat endpoint with Starlette. Run it with: uvicorn examples.chat_starlette:app"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from tailrace import GenerationRequest, Tailrace
from tailrace.asgi import EventStream, stream


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[None]:
    async with Tailrace.connect() as app.state.tailrace:  # TAILRACE_REDIS_URL, or redis://localhost:6379/0
        yield


async def ask(request: Request) -> EventStream:
    prompt = (await request.json())["prompt"]
    job = await request.app.state.tailrace.enqueue(
        GenerationRequest(provider="openai", model="gpt-5-mini", messages=[{"role": "user", "content": prompt}])
    )
    return await stream(job, request)


async def resume(request: Request) -> EventStream:
    return await stream(request.app.state.tailrace.job(request.path_params["job_id"]), request)


app = Starlette(lifespan=lifespan, routes=[Route("/chat", ask, methods=["POST"]), Route("/chat/{job_id}", resume)])
