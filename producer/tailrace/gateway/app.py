"""`create_app`: the gateway as an ASGI application, to be served or mounted."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

import tailrace as package
from tailrace import Tailrace
from tailrace.access.key_store import key_store
from tailrace.access.signing_key import SigningKey
from tailrace.gateway import chat, conversations, events, health, jobs, page_routes, providers
from tailrace.gateway.access_log import AccessLog
from tailrace.gateway.authentication import Authentication
from tailrace.gateway.body_limit import BodyLimit
from tailrace.gateway.capabilities import Capabilities, SharedSigningKey
from tailrace.gateway.context import Gateway
from tailrace.gateway.draining import Draining
from tailrace.gateway.errors import HANDLERS, JOB_HEADER
from tailrace.gateway.fronts import models
from tailrace.gateway.fronts.anthropic_messages import routes as anthropic_messages
from tailrace.gateway.fronts.openai_chat import routes as openai_chat
from tailrace.gateway.fronts.openai_responses import routes as openai_responses
from tailrace.gateway.leaving import Leaving
from tailrace.gateway.model_names import ModelNames
from tailrace.gateway.model_table import ModelTable
from tailrace.gateway.openapi import describe
from tailrace.gateway.settings import GatewaySettings

_ASKED_HEADERS: Final = (
    *("Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "X-API-Key"),
    *("Anthropic-Beta", "Anthropic-Version", "X-AI-SDK-Version"),
)
"""The headers that pages of another origin may send, if `gateway_cors_origins` names that origin."""


def create_app(tailrace: Tailrace | None = None, settings: GatewaySettings | None = None) -> FastAPI:
    """Make the gateway as an ASGI application, to be served on its own or mounted into a service's application.

    A service that mounts the gateway passes its own client, and closes that client itself:
    `app.mount("/llm", create_app(tailrace))`.

    Args:
        tailrace: The client to use. By default the application makes a client from the settings, which connects at the
            first request, and closes it when the application ends.
        settings: The settings. By default they come from the environment. The fields that every client has, such as
            `redis_url`, are used only if no client is passed.

    Returns:
        The application.

    Raises:
        InvalidSettings: A variable of the environment has a value that is not allowed, or Redis's URL is malformed.
    """
    settings = settings or GatewaySettings.read()
    client = tailrace or Tailrace.connect(**settings.client_fields())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        yield
        await leaving.aclose()
        if tailrace is None:
            await client.aclose()

    app = FastAPI(
        title="tailrace",
        version=package.__version__,
        docs_url=None,
        redoc_url=None,
        # Behind a proxy with TLS, a redirect would lead to http://, with the token of the URL.
        redirect_slashes=False,
        # Traces would have whole URLs, which may have tokens.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        lifespan=lifespan,
        exception_handlers=HANDLERS,
    )
    leaving = Leaving(after_seconds=settings.gateway_leave_seconds)
    capabilities, asking = _capabilities(client, settings), asyncio.Lock()
    app.state.gateway = Gateway(
        tailrace=client,
        settings=settings,
        authenticator=Authentication(
            client.access,
            key_store(client.access, settings.gateway_keys_file),
            capabilities,
            needs_keys=settings.gateway_keys_file is not None,
            asking=asking,
            origins=settings.gateway_cors_origins,
        ),
        capabilities=capabilities,
        draining=Draining(),
        asking=asking,
        leaving=leaving,
        models=ModelNames(client, ModelTable(settings.models)),
    )
    for module in (
        *(jobs, events, conversations, chat),
        *(openai_chat, openai_responses, anthropic_messages, models),
        *(providers, health, page_routes),
    ):
        app.include_router(module.router)
    # The last one added is the outermost.
    app.add_middleware(BodyLimit, max_bytes=settings.gateway_max_body_bytes)
    if settings.gateway_cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.gateway_cors_origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=_ASKED_HEADERS,
            expose_headers=(JOB_HEADER, "Retry-After"),
        )
    app.add_middleware(AccessLog)
    describe(app)
    return app


def _capabilities(tailrace: Tailrace, settings: GatewaySettings) -> Capabilities:
    configured = settings.gateway_signing_keys

    async def from_settings() -> tuple[SigningKey, ...]:
        return configured

    keys = from_settings if configured else SharedSigningKey(tailrace.access.signing_key)
    return Capabilities(keys, life_seconds=settings.gateway_url_seconds)


def drain(app: FastAPI) -> None:
    """Prepare the gateway for its end: `/readyz` returns 503, and streams that clients can resume elsewhere are closed.

    `tailrace serve` does this on SIGTERM. A service that mounts the gateway calls it when it begins to shut down.

    Args:
        app: What `create_app` returned.
    """
    gateway: Gateway = app.state.gateway
    gateway.draining.begin()
