"""A chat endpoint with FastAPI. Run it with: uvicorn examples.chat_fastapi:app"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Body, FastAPI, Request
from fastapi.responses import StreamingResponse

from tailrace import GenerationRequest, Tailrace
from tailrace.asgi import EventStream, stream


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    async with Tailrace.connect() as app.state.tailrace:  # TAILRACE_REDIS_URL, or redis://localhost:6379/0
        yield


app = FastAPI(lifespan=lifespan)


def response(reply: EventStream) -> StreamingResponse:
    return StreamingResponse(reply, reply.status, reply.headers)


@app.post("/chat")
async def ask(request: Request, prompt: Annotated[str, Body(embed=True)]) -> StreamingResponse:
    job = await request.app.state.tailrace.enqueue(
        GenerationRequest(provider="openai", model="gpt-5-mini", messages=[{"role": "user", "content": prompt}])
    )
    return response(await stream(job, request))


@app.get("/chat/{job_id}")
async def resume(request: Request, job_id: str) -> StreamingResponse:
    return response(await stream(request.app.state.tailrace.job(job_id), request))
