"""A chat endpoint with Django, under ASGI. Run it with: uvicorn --lifespan off examples.chat_django:app"""

import json

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import ASGIRequest
from django.http import StreamingHttpResponse
from django.urls import path

from tailrace import GenerationRequest, Tailrace
from tailrace.asgi import EventStream, stream

# In a project of your own this is in its settings.
settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__)
django.setup()

tailrace = Tailrace.connect()  # TAILRACE_REDIS_URL, or redis://localhost:6379/0


def response(reply: EventStream) -> StreamingHttpResponse:
    return StreamingHttpResponse(reply, status=reply.status, headers=reply.headers)


async def ask(request: ASGIRequest) -> StreamingHttpResponse:
    prompt = json.loads(request.body)["prompt"]
    job = await tailrace.enqueue(
        GenerationRequest(provider="openai", model="gpt-5-mini", messages=[{"role": "user", "content": prompt}])
    )
    return response(await stream(job, request))


async def resume(request: ASGIRequest, job_id: str) -> StreamingHttpResponse:
    return response(await stream(tailrace.job(job_id), request))


urlpatterns = [path("chat", ask), path("chat/<job_id>", resume)]
app = get_asgi_application()
